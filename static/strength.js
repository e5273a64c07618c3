// Shows how hard a new password is to guess while the user types it, and ticks the rules that it
// meets. The site judges it. Without this script there are only the hint and the rules.
// A block, because classic scripts share their names with those of the application.
{
  const { url } = document.currentScript.dataset;

  const TYPED = 300; // the pause in typing after which the site is asked
  const SPOKEN = 1_000; // the further pause after which a screen reader hears the answer

  for (const input of document.querySelectorAll('input[autocomplete="new-password"]')) {
    const field = input.closest(".field");
    const meter = field?.querySelector(".strength");
    // The field of a template that has its own markup.
    if (!meter) continue;
    const shown = meter.querySelector(".hint");
    const spoken = meter.querySelector("[role=status]");
    const rules = [...field.querySelectorAll("[data-code]")];
    const show = ({ score, text, code }) => {
      meter.dataset.score = score;
      shown.textContent = text;
      // The site stops at the first rule that is broken, so the later ones are open.
      const broken = rules.findIndex((rule) => rule.dataset.code === code);
      rules.forEach((rule, place) => {
        const is_met = code === null || place < broken;
        rule.dataset.is = is_met ? "met" : place === broken ? "broken" : "open";
      });
    };

    const account = input.form.querySelector('input[autocomplete="username"]');
    let timer, request;
    const judge = async () => {
      request = new AbortController();
      const body = new URLSearchParams({ password: input.value, email: account?.value ?? "" });
      try {
        const answer = await fetch(url, { method: "POST", body, signal: request.signal });
        const judged = answer.ok ? await answer.json() : { score: 0, text: "", code: "" };
        show(judged);
        timer = setTimeout(() => {
          // A status that is written again is read again.
          if (spoken.textContent !== judged.text) spoken.textContent = judged.text;
        }, SPOKEN);
      } catch {
        // The user has typed something else in the meantime, or there is no network.
      }
    };

    // Further typing aborts the request, because its answer would be about another text.
    const wait = () => {
      clearTimeout(timer);
      request?.abort();
      timer = setTimeout(judge, TYPED);
    };
    input.addEventListener("input", wait);
    account?.addEventListener("input", () => input.value && wait());
  }
}
