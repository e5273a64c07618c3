// Removes an error when its field is changed, because it is about the text that was sent and could
// contradict the strength meter. Without this script it stays until the next page.
for (const input of document.querySelectorAll('input[aria-invalid="true"]')) {
  const settle = () => {
    input.removeAttribute("aria-invalid");
    document.getElementById(`${input.id}-error`)?.remove();
    const about = (input.getAttribute("aria-describedby") ?? "").split(/\s+/);
    const left = about.filter((id) => id !== "form-error" && document.getElementById(id));
    if (left.length) input.setAttribute("aria-describedby", left.join(" "));
    else input.removeAttribute("aria-describedby");
  };

  input.addEventListener("input", settle, { once: true });
  // The judgement of a new password depends on the address as well.
  if (input.autocomplete === "new-password") {
    const account = input.form.querySelector('input[autocomplete="username"]');
    account?.addEventListener("input", settle, { once: true });
  }
}
