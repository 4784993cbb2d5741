/**
 * The calendar in UTC from Unix seconds, without `Date`: days are counted in eras of 400 years that
 * start on 1 March, so that the leap day is the last of its year.
 */
import type { FunctionName } from '../functions-table.ts';

const DAY_S = 86_400;
const ERA_DAYS = 146_097;
/** From 0000-03-01 to 1970-01-01. */
const EPOCH_DAYS = 719_468;

interface CivilDate {
  readonly year: number;
  /** 1 to 12. */
  readonly month: number;
  /** 1 to 31. */
  readonly day: number;
}

function civilDate(seconds: number): CivilDate {
  const days = Math.floor(Math.trunc(seconds) / DAY_S) + EPOCH_DAYS;
  const era = Math.floor(days / ERA_DAYS);
  const ofEra = days - era * ERA_DAYS;
  const leapDays =
    Math.floor(ofEra / 1460) - Math.floor(ofEra / 36_524) + Math.floor(ofEra / 146_096);
  const yearOfEra = Math.floor((ofEra - leapDays) / 365);
  const ofYear =
    ofEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100));
  const marchMonth = Math.floor((5 * ofYear + 2) / 153);
  const day = ofYear - Math.floor((153 * marchMonth + 2) / 5) + 1;
  const month = marchMonth < 10 ? marchMonth + 3 : marchMonth - 9;
  return { year: yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, day };
}

function isLeap(year: number): boolean {
  return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0);
}

const MONTH_DAYS: readonly number[] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

function daysInMonth(seconds: number): number {
  const { year, month } = civilDate(seconds);
  return month === 2 && isLeap(year) ? 29 : MONTH_DAYS[month - 1]!;
}

function dayOfYear(seconds: number): number {
  const { year, month, day } = civilDate(seconds);
  let days = day;
  for (let i = 0; i < month - 1; i++) days += MONTH_DAYS[i]!;
  return days + (month > 2 && isLeap(year) ? 1 : 0);
}

function remainder(value: number, by: number): number {
  return ((value % by) + by) % by;
}

/** NaN and infinite times have no date. */
function guarded(compute: (seconds: number) => number): (seconds: number) => number {
  return (seconds) => (Number.isFinite(seconds) ? compute(seconds) : NaN);
}

export const dateFunctions: Readonly<Partial<Record<FunctionName, (seconds: number) => number>>> = {
  day_of_month: guarded((s) => civilDate(s).day),
  day_of_week: guarded((s) => remainder(Math.floor(Math.trunc(s) / DAY_S) + 4, 7)),
  day_of_year: guarded(dayOfYear),
  days_in_month: guarded(daysInMonth),
  hour: guarded((s) => Math.floor(remainder(Math.trunc(s), DAY_S) / 3600)),
  minute: guarded((s) => Math.floor(remainder(Math.trunc(s), 3600) / 60)),
  month: guarded((s) => civilDate(s).month),
  year: guarded((s) => civilDate(s).year),
};
