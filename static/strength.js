// Shows how hard a new password is to guess, while it is typed. The site judges;
// without this script the hint above the field has to do.
const { url } = document.currentScript.dataset;

for (const input of document.querySelectorAll('input[autocomplete="new-password"]')) {
  const shown = document.createElement("p");
  shown.className = "strength hint";
  shown.setAttribute("role", "status");
  input.closest(".field").append(shown);

  let timer, request;
  const judge = async () => {
    request?.abort();
    request = new AbortController();
    const account = input.form.querySelector('input[autocomplete="username"]');
    const body = new URLSearchParams({ password: input.value, email: account?.value ?? "" });
    try {
      const answer = await fetch(url, { method: "POST", body, signal: request.signal });
      if (!answer.ok) return;
      const { score, text } = await answer.json();
      shown.textContent = text;
      shown.dataset.score = score;
    } catch {
      // A later judgement has overtaken it, or the site is busy.
    }
  };

  input.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(judge, 300);
  });
}
