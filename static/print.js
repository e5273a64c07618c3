// Shows the button that prints the page. Without this script the browser's own menu prints it.
for (const button of document.querySelectorAll("button.print")) {
  button.hidden = false;
  button.addEventListener("click", () => window.print());
}
