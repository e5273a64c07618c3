// Tells the browser which passkeys the site knows, and what the account is called now. The place that keeps
// them then offers no passkey that was removed. Without this script, it offers them in vain.
// A block, because classic scripts share their names with those of the application.
{
  const known = window.PublicKeyCredential;
  const { url, account, rpId, unknown } = document.currentScript.dataset;
  const TOLD = "passkeys-told"; // the account that was told of in this tab

  // A passkey that no account has.
  if (unknown) known?.signalUnknownCredential?.({ rpId, credentialId: unknown }).catch(() => {});

  // A passkey that is made here meanwhile is not in the answer, and would be taken for one that was removed.
  let isOld = false;
  const isMade = (event) => event.target.closest?.("[data-passkey=create]");
  addEventListener("click", (event) => { if (isMade(event)) isOld = true; }, true);

  const tell = async () => {
    const answer = await fetch(url, { headers: { Accept: "application/json" } });
    if (answer.redirected || !answer.ok) return;
    const told = await answer.json();
    if (!told || isOld) return; // without `told`, the user never had a passkey
    const { rpId, userId, name, displayName, allAcceptedCredentialIds } = told;
    await known.signalAllAcceptedCredentials({ rpId, userId, allAcceptedCredentialIds });
    await known.signalCurrentUserDetails({ rpId, userId, name, displayName });
    sessionStorage.setItem(TOLD, account);
  };

  // With `account` it is told once, and again after the address has changed.
  const isNew = () => !account || sessionStorage.getItem(TOLD) !== account;
  if (url && known?.signalAllAcceptedCredentials && isNew()) tell().catch(() => {});
}
