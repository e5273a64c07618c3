// Asks a passkey, and sends its answer with the form. Without this script, or in a browser that knows
// no passkeys, the button is not there, and the other ways are.
// A block, because classic scripts share their names with those of the application.
{
  const known = window.PublicKeyCredential;
  const can = known?.parseRequestOptionsFromJSON && known.parseCreationOptionsFromJSON;
  // Browsers have passkeys for names only.
  const isNumber = /^[\d.]+$|:/.test(location.hostname);
  const AGAIN = 300_000; // an answer is taken for some minutes only, so an open page asks anew

  let waiting; // a browser asks one question at a time: the button ends the one of the autofill

  const options = async (url, ask) => {
    const answer = await fetch(url, { method: "POST", headers: { Accept: "application/json" } });
    if (answer.status === 429) throw Object.assign(new Error(), { name: "Throttled" });
    if (answer.redirected || !answer.ok) throw new Error("refused");
    const json = await answer.json();
    return ask === "create"
      ? known.parseCreationOptionsFromJSON(json)
      : known.parseRequestOptionsFromJSON(json);
  };

  const told = (error, ask) => {
    if (error.name === "InvalidStateError") return "This device already has a passkey for your account.";
    if (error.name === "Throttled") return "Too many attempts. Try again later.";
    if (error.name === "SecurityError") return "Passkeys don't work at this address.";
    if (error.name === "NotAllowedError" || error.name === "AbortError") {
      return ask === "create" ? "No passkey was added." : "No passkey was used. Try again, or use another way.";
    }
    return "That didn't work. Reload the page and try again.";
  };

  // The boxes stand in the form with the password, or with the code.
  const send = (form, credential) => {
    for (const box of document.querySelectorAll("#remember:checked, #trust:checked")) {
      const copy = Object.assign(document.createElement("input"), { type: "hidden", name: box.name, value: "on" });
      if (box.form !== form) form.append(copy);
    }
    form.elements.credential.value = JSON.stringify(credential);
    // This causes no event, so nothing asks again.
    form.submit();
  };

  const press = async (button, form, message) => {
    const { passkey: ask, options: url } = (button.dataset.passkey ? button : form).dataset;
    message.hidden = true;
    button.disabled = true;
    waiting?.abort();
    waiting = new AbortController();
    try {
      const publicKey = await options(url, ask);
      const credential = await navigator.credentials[ask]({ publicKey, signal: waiting.signal });
      send(form, credential);
    } catch (error) {
      message.textContent = told(error, ask);
      message.hidden = false;
      button.disabled = false;
      offer();
    }
  };

  // The browser offers passkeys in the field for the address, if it can. A failure says nothing: nobody
  // has asked.
  const offer = async () => {
    const form = document.querySelector("form[data-autofill]");
    if (!form || !(await known.isConditionalMediationAvailable?.())) return;
    const asked = new AbortController();
    waiting = asked;
    const again = setTimeout(() => {
      asked.abort();
      if (waiting === asked) offer();
    }, AGAIN);
    try {
      const publicKey = await options(form.dataset.options, "get");
      const ask = { publicKey, mediation: "conditional", signal: asked.signal };
      send(form, await navigator.credentials.get(ask));
    } catch {
      clearTimeout(again);
    }
  };

  for (const one of document.querySelectorAll("[data-passkey]")) {
    const form = one.closest("form");
    const button = one === form ? form.querySelector("button") : one;
    const message = form.querySelector("p[role=alert][hidden]");
    if (!can) continue;
    one.hidden = false;
    button.addEventListener("click", (event) => {
      event.preventDefault();
      if (isNumber) {
        message.textContent = "Passkeys don't work at an IP address. Open this site by its name, such as localhost.";
        message.hidden = false;
        return;
      }
      press(button, form, message);
    });
  }
  if (can && !isNumber) offer();
}
