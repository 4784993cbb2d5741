/** Times as RFC 3339 in UTC, from years 0 to 9999; no calendar of the system is asked. */

const DAY_MS = 86_400_000;
const DAYS_TO_1970 = 719_468; // from the first of March of the year 0
const ERA_DAYS = 146_097; // 400 years

/** As `2026-11-21T10:23:07.500Z`. */
export function timeText(timeMs: number): string {
  const days = Math.floor(timeMs / DAY_MS);
  const restMs = timeMs - days * DAY_MS;
  const { year, month, day } = civilDate(days);
  const time = [restMs / 3_600_000, (restMs / 60_000) % 60, (restMs / 1000) % 60]
    .map((part) => digits(Math.floor(part), 2))
    .join(':');
  const date = `${digits(year, 4)}-${digits(month, 2)}-${digits(day, 2)}`;
  return `${date}T${time}.${digits(Math.floor(restMs % 1000), 3)}Z`;
}

function digits(value: number, count: number): string {
  return String(value).padStart(count, '0');
}

/** The date of a day counted from 1970-01-01. Years are taken to begin in March, leap days last. */
function civilDate(days1970: number): {
  readonly year: number;
  readonly month: number;
  readonly day: number;
} {
  const days = days1970 + DAYS_TO_1970;
  const era = Math.floor(days / ERA_DAYS);
  const dayOfEra = days - era * ERA_DAYS;
  const leapDays =
    Math.floor(dayOfEra / 1460) - Math.floor(dayOfEra / 36_524) + Math.floor(dayOfEra / 146_096);
  const yearOfEra = Math.floor((dayOfEra - leapDays) / 365);
  const yearDays = 365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100);
  const dayOfYear = dayOfEra - yearDays;
  const monthFromMarch = Math.floor((5 * dayOfYear + 2) / 153);
  const month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9;
  return {
    year: yearOfEra + era * 400 + (month <= 2 ? 1 : 0),
    month,
    day: dayOfYear - Math.floor((153 * monthFromMarch + 2) / 5) + 1,
  };
}
