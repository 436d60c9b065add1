/**
 * Dates as HTTP writes them (RFC 9110 §5.6.7), and the current time as text.
 *
 * Sent is always IMF-fixdate; read are all three formats, because a recipient must. Texts of the
 * current time are made once per second and shared by all exchanges of that second.
 */

const DAYS = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"] as const;
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"] as const;

/**
 * @param ms milliseconds since 1970
 * @example httpDate(784111777000) // "Sun, 06 Nov 1994 08:49:37 GMT"
 */
export function httpDate(ms: number): string {
  const date = new Date(ms);
  const day = `${DAYS[date.getUTCDay()]}, ${two(date.getUTCDate())} ${MONTHS[date.getUTCMonth()]}`;
  return `${day} ${String(date.getUTCFullYear()).padStart(4, "0")} ${timeOfDay(date)} GMT`;
}

const IMF_FIXDATE = /^(?:Sun|Mon|Tue|Wed|Thu|Fri|Sat), (\d\d) ([A-Z][a-z]{2}) (\d{4}) (\d\d):(\d\d):(\d\d) GMT$/;
const RFC850_DATE =
  /^(?:Sun|Mon|Tues|Wednes|Thurs|Fri|Satur)day, (\d\d)-([A-Z][a-z]{2})-(\d\d) (\d\d):(\d\d):(\d\d) GMT$/;
const ASCTIME_DATE = /^(?:Sun|Mon|Tue|Wed|Thu|Fri|Sat) ([A-Z][a-z]{2}) ([ \d]\d) (\d\d):(\d\d):(\d\d) (\d{4})$/;

/**
 * Reads IMF-fixdate, RFC 850 and asctime dates. The name of the day is not compared with the date.
 * @returns milliseconds since 1970, or null if the text is none of the three or names no moment
 */
export function parseHttpDate(text: string): number | null {
  const imf = IMF_FIXDATE.exec(text);
  if (imf !== null) return moment(Number(imf[3]), imf[2]!, imf[1]!, imf[4]!, imf[5]!, imf[6]!);
  const old = RFC850_DATE.exec(text);
  if (old !== null) return moment(fullYear(Number(old[3])), old[2]!, old[1]!, old[4]!, old[5]!, old[6]!);
  const asctime = ASCTIME_DATE.exec(text);
  if (asctime !== null)
    return moment(Number(asctime[6]), asctime[1]!, asctime[2]!, asctime[3]!, asctime[4]!, asctime[5]!);
  return null;
}

/** A two-digit year that would lie more than 50 years ahead means the most recent such year (RFC 9110 §5.6.7). */
function fullYear(twoDigits: number): number {
  const now = new Date().getUTCFullYear();
  const year = now - (now % 100) + twoDigits;
  return year > now + 50 ? year - 100 : year;
}

function moment(year: number, month: string, day: string, hour: string, minute: string, second: string): number | null {
  const monthIndex = (MONTHS as readonly string[]).indexOf(month);
  // 60 is a leap second; the following second is as close as the clock has.
  if (monthIndex < 0 || Number(hour) > 23 || Number(minute) > 59 || Number(second) > 60) return null;
  const date = new Date(0);
  date.setUTCFullYear(year, monthIndex, Number(day)); // Date.UTC would read the years 0 to 99 as 1900 to 1999.
  if (date.getUTCMonth() !== monthIndex || date.getUTCDate() !== Number(day)) return null;
  return date.setUTCHours(Number(hour), Number(minute), Number(second));
}

/** The current second and its texts, each made when first asked for. */
let second = -1;
let httpText = "";
let isoText = "";
let commonLogText = "";

function currentSecond(): number {
  const now = Math.floor(Date.now() / 1000);
  if (now !== second) {
    second = now;
    httpText = "";
    isoText = "";
    commonLogText = "";
  }
  return now;
}

/** The value of a `Date` field now. */
export function nowHttpDate(): string {
  const now = currentSecond();
  if (httpText === "") httpText = httpDate(now * 1000);
  return httpText;
}

/** @example "2026-03-01T12:00:00Z" */
export function nowIso(): string {
  const now = currentSecond();
  if (isoText === "") isoText = `${new Date(now * 1000).toISOString().slice(0, 19)}Z`;
  return isoText;
}

/** Seconds since 1970. */
export function nowUnix(): number {
  return currentSecond();
}

/** As the common log format writes it, always UTC: "01/Mar/2026:12:00:00 +0000". */
export function nowCommonLog(): string {
  const now = currentSecond();
  if (commonLogText === "") {
    const date = new Date(now * 1000);
    const day = `${two(date.getUTCDate())}/${MONTHS[date.getUTCMonth()]}/${date.getUTCFullYear()}`;
    commonLogText = `${day}:${timeOfDay(date)} +0000`;
  }
  return commonLogText;
}

const two = (value: number): string => (value < 10 ? `0${value}` : String(value));

const timeOfDay = (date: Date): string =>
  `${two(date.getUTCHours())}:${two(date.getUTCMinutes())}:${two(date.getUTCSeconds())}`;
