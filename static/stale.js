// Removes an error when what it is about is changed. It is about the text that was sent, and could
// contradict the strength meter. Without this script it stays until the next page.
// A block, because classic scripts share their names with those of the application.
{
  // Leaves at `input` what is still said of it.
  const tie = (input) => {
    const about = (input.getAttribute("aria-describedby") ?? "").split(/\s+/);
    const left = about.filter((id) => document.getElementById(id));
    if (left.length) input.setAttribute("aria-describedby", left.join(" "));
    else input.removeAttribute("aria-describedby");
    if (!document.getElementById(`${input.id}-error`)) input.removeAttribute("aria-invalid");
  };

  for (const input of document.querySelectorAll('input[aria-invalid="true"]')) {
    const settle = () => {
      document.getElementById(`${input.id}-error`)?.remove();
      tie(input);
    };

    input.addEventListener("input", settle, { once: true });
    // The judgement of a new password depends on the address as well.
    if (input.autocomplete === "new-password") {
      const account = input.form.querySelector('input[autocomplete="username"]');
      account?.addEventListener("input", settle, { once: true });
    }
  }

  // An error of the whole form is about all of its fields. One that says how long to wait still holds.
  for (const alert of document.querySelectorAll(".alert:not(:has(.wait))")) {
    const form = alert.parentElement.querySelector("form");
    const settle = () => {
      alert.remove();
      form.querySelectorAll("input").forEach(tie);
    };
    form?.addEventListener("input", settle, { once: true });
  }
}
