// Adds a button to each password field that shows the typed password.
// Without this script the field is a plain password field.
for (const input of document.querySelectorAll('input[type="password"]')) {
  const row = document.createElement("div");
  row.className = "reveal";
  input.before(row);

  const button = document.createElement("button");
  button.type = "button";
  button.className = "quiet";
  button.setAttribute("aria-controls", input.id);
  row.append(input, button);

  const show = (shown) => {
    input.type = shown ? "text" : "password";
    button.textContent = shown ? "Hide" : "Show";
    button.setAttribute("aria-label", shown ? "Hide password" : "Show password");
  };

  show(false);
  button.addEventListener("click", () => show(input.type === "password"));
  // Submit it as a password, so that the browser does not store it with other typed texts.
  input.form.addEventListener("submit", () => show(false));
  // Moving a focused field loses the focus.
  if (input.autofocus) input.focus();
}
