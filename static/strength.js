// Shows how hard a new password is to guess while the user types it. The site judges it.
// Without this script there is only the hint above the field.
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
      // The user has typed something else in the meantime, or there is no network.
    }
  };

  // Further typing aborts the request, because its answer would be about another text.
  const wait = () => {
    clearTimeout(timer);
    request?.abort();
    timer = setTimeout(judge, 300);
  };
  input.addEventListener("input", wait);
  account?.addEventListener("input", () => input.value && wait());
}
