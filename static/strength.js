// Shows how hard a new password is to guess, while it is typed. The site judges;
// without this script the hint above the field has to do.
const { url } = document.currentScript.dataset;

for (const input of document.querySelectorAll('input[autocomplete="new-password"]')) {
  const shown = document.createElement("p");
  shown.className = "strength hint";
  shown.setAttribute("role", "status");
  input.closest(".field").append(shown);

  const account = input.form.querySelector('input[autocomplete="username"]');
  let timer, request;
  const judge = async () => {
    request = new AbortController();
    const body = new URLSearchParams({ password: input.value, email: account?.value ?? "" });
    try {
      const answer = await fetch(url, { method: "POST", body, signal: request.signal });
      const { score, text } = answer.ok ? await answer.json() : { score: 0, text: "" };
      shown.textContent = text;
      shown.dataset.score = score;
    } catch {
      // Something else has been typed meanwhile, or there is no network.
    }
  };

  // What is typed later makes void what is on the way: its answer would be about another text.
  const wait = () => {
    clearTimeout(timer);
    request?.abort();
    timer = setTimeout(judge, 300);
  };
  input.addEventListener("input", wait);
  account?.addEventListener("input", () => input.value && wait());
}
