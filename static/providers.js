// Takes the box "Remember me" along to the providers, which are links and not buttons of the form.
// Without this script, a log-in with a provider ends when the browser is closed.
// A block, because classic scripts share their names with those of the application.
{
  const box = document.getElementById("remember");
  const links = document.querySelectorAll("a[data-provider]");

  const follow = () => {
    for (const link of links) {
      const url = new URL(link.href);
      url.searchParams.set("remember", String(box.checked));
      link.href = url.href;
    }
  };

  if (box) {
    box.addEventListener("change", follow);
    // The back button restores the box, and not the links.
    addEventListener("pageshow", follow);
    follow();
  }
}
