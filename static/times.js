// Writes each time as the reader would say it: how long ago it was, or the day in their time zone.
// The title has the whole local time. Without this script the page has the time in UTC.
// A block, because classic scripts share their names with those of the application.
{
  const MINUTE = 60;
  const DAY = 24 * 60 * MINUTE;
  const UNITS = [["day", DAY], ["hour", 60 * MINUTE], ["minute", MINUTE]];

  // The words are in the language of the page. If the reader has a form of it, such as British
  // English, dates have that form.
  const { lang } = document.documentElement;
  const form = navigator.languages.find((one) => one === lang || one.startsWith(`${lang}-`));
  const language = form ?? (lang || []);
  const whole = new Intl.DateTimeFormat(language, { dateStyle: "full", timeStyle: "long" });
  const day = new Intl.DateTimeFormat(language, { dateStyle: "long" });
  const ago = new Intl.RelativeTimeFormat(language);
  const now = new Intl.RelativeTimeFormat(language, { numeric: "auto" }).format(0, "second");

  const inWords = (at) => {
    const seconds = (Date.now() - at) / 1000;
    // A time to come means that the reader's clock is wrong, so it does not tell how long ago it
    // was.
    if (seconds < -MINUTE || seconds >= 7 * DAY) return day.format(at);
    const unit = UNITS.find(([, length]) => seconds >= length);
    return unit ? ago.format(-Math.floor(seconds / unit[1]), unit[0]) : now;
  };

  const times = [...document.querySelectorAll('time[datetime*="T"]')];
  for (const time of times) time.title = whole.format(new Date(time.dateTime));

  // A text that stays the same is not written, because that would undo the reader's selection.
  const write = () => {
    for (const time of times) {
      const words = inWords(new Date(time.dateTime));
      if (time.textContent !== words) time.textContent = words;
    }
  };

  write();
  setInterval(write, 20_000);
  // Browsers slow the timer down while nobody sees the page.
  document.addEventListener("visibilitychange", write);
}
