const list = document.querySelector("#messages");
const form = document.querySelector("#speak");

new EventSource("/events").addEventListener("message", ({ data }) => {
  const { from, text } = JSON.parse(data);
  const item = document.createElement("li");
  item.textContent = `${from}: ${text}`;
  list.append(item);
});

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const body = JSON.stringify({ text: form.elements.text.value });
  const headers = { "content-type": "application/json" };
  const answer = await fetch("/message", { method: "POST", headers, body });
  if (answer.status === 401) location.assign("/auth/login?next=/");
});
