// Adds a button to each password field that shows the typed password, and a note while Caps Lock
// is on. Without this script the field is a plain password field.
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

  const note = document.createElement("p");
  note.className = "note-below";
  note.setAttribute("role", "status");
  row.after(note);
  const write = (text) => {
    // A status that is written again is read again.
    if (note.textContent !== text) note.textContent = text;
  };
  // Only an event of the keyboard or of the mouse knows whether Caps Lock is on. A password manager
  // causes key events without that.
  const look = (event) =>
    write(event.getModifierState?.("CapsLock") ? "Caps Lock is on." : "");
  for (const type of ["keydown", "keyup", "mousedown"]) input.addEventListener(type, look);
  input.addEventListener("blur", () => write(""));

  // Moving a focused field loses the focus.
  if (input.autofocus) input.focus();
}
