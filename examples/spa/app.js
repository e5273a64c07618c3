// Signs up, logs in, shows the account, changes the password and logs out, with JSON alone.
import { site } from "./site.js";

// What the front end says for a code. The site's own message is the fallback, so no code has to be here.
const texts = {
  email_malformed: "That is not an email address.",
  email_taken: "You have an account already. Log in.",
  log_in_required: "Log in to see your notes.",
  password_common: "Many people use this password, so it is easy to guess.",
  password_too_short: "Use at least 12 characters.",
  throttled: "Too many attempts. Wait a little.",
  wrong_password: "That is not right.",
};
const textOf = ({ code, message, detail, title }) => texts[code] ?? message ?? detail ?? title;

// Asks the site for `path`, or sends `fields` there. It returns what the site answers, and throws the
// site's problem if it refuses.
const ask = async (path, fields) => {
  const headers = { Accept: "application/json" };
  if (fields) headers["Content-Type"] = "application/json";
  const response = await fetch(site + path, {
    method: fields ? "POST" : "GET",
    headers,
    body: fields && JSON.stringify(fields),
    credentials: "include", // the session cookie, also to the site's origin if it is another one
  });
  const answer = await response.json();
  if (!response.ok) throw answer;
  return answer;
};

const find = (id) => document.getElementById(id);
const say = (text) => (find("message").textContent = text);

// Shows who is logged in, or the forms for those who are not.
const show = async () => {
  let account = null;
  try {
    account = await ask("/auth/account");
  } catch (problem) {
    if (problem.status !== 401) throw problem;
  }

  find("strangers").hidden = account !== null;
  find("users").hidden = account === null;
  find("email").textContent = account?.email ?? "";
  find("username").value = account?.email ?? "";
  find("since").textContent = account ? new Date(account.created_at).toLocaleDateString() : "";
};

// Checkboxes are `true` or `false`. Everything else is text.
const fieldsOf = (form) => {
  const inputs = [...form.elements].filter((element) => element.name);
  return Object.fromEntries(
    inputs.map((input) => [input.name, input.type === "checkbox" ? input.checked : input.value]),
  );
};

// Puts each error at its field, and the others at the form.
const showErrors = (form, problem) => {
  const errors = problem.errors ?? [{ field: "form", ...problem }];
  for (const error of errors) {
    const input = form.elements[error.field];
    if (!input) {
      form.querySelector("[data-error=form]").textContent += textOf(error);
      continue;
    }
    const place = document.createElement("span");
    place.className = "error";
    place.id = `${form.dataset.path}-${error.field}-error`;
    place.textContent = textOf(error);
    input.after(place);
    input.setAttribute("aria-invalid", "true");
    input.setAttribute("aria-describedby", place.id);
  }
  form.querySelector("[aria-invalid]")?.focus();
};

const clearErrors = (form) => {
  form.querySelectorAll(".error").forEach((place) => place.remove());
  form.querySelectorAll("[data-error]").forEach((place) => (place.textContent = ""));
  for (const input of form.elements) {
    input.removeAttribute("aria-invalid");
    input.removeAttribute("aria-describedby");
  }
};

const done = {
  "/auth/login": "You are logged in.",
  "/auth/register": "Your account is ready.",
  "/auth/account/password": "Your password is changed.",
  "/auth/logout": "You are logged out.",
};

const send = async (form) => {
  clearErrors(form);
  say("");
  try {
    // The answer says where a browser without a script would go: `{"location": "/auth/account"}`.
    await ask(form.dataset.path, fieldsOf(form));
    form.reset();
    say(done[form.dataset.path]);
    await show();
  } catch (problem) {
    // Not a refusal of the site, but a broken connection or a mistake.
    if (!problem.status) throw problem;
    showErrors(form, problem);
  }
};

for (const form of document.forms) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const button = form.querySelector("button");
    button.disabled = true; // a double click would send it twice
    send(form)
      .catch(() => say("The site does not answer. Try again."))
      .finally(() => (button.disabled = false));
  });
}

show().catch(() => say("The site does not answer. Reload the page."));
