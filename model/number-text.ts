/**
 * Numbers as Prometheus prints them. The shortest digits that read back as the same double are the
 * same in Go and JavaScript; the forms differ: `+Inf`, two-digit exponents, or no exponent at all.
 */

/** As in vectors and matrices: exponents below 1e-6 and from 1e21. */
export function formatSample(value: number): string {
  if (Number.isFinite(value)) {
    if (value === 0) return Object.is(value, -0) ? '-0' : '0';
    const text = String(value);
    return text.includes('e') ? text.replace(/e([+-])(\d)$/, 'e$10$2') : text;
  }
  return nonFinite(value);
}

/** Without exponent, as scalars and label values are printed. */
export function formatPlain(value: number): string {
  if (!Number.isFinite(value)) return nonFinite(value);
  const text = formatSample(value);
  const parts = /^(-?)(\d)(?:\.(\d+))?e([+-]\d+)$/.exec(text);
  if (parts === null) return text;
  const [, sign = '', whole = '', fraction = '', exponent = ''] = parts;
  const digits = whole + fraction;
  const point = Number(exponent) + 1;
  if (point <= 0) return `${sign}0.${'0'.repeat(-point)}${digits}`;
  return sign + digits.padEnd(point, '0');
}

/** As Go's `%g` prints, in messages: exponents below 1e-4 and from 1e6. */
export function formatGeneral(value: number): string {
  if (!Number.isFinite(value) || value === 0) return formatSample(value);
  const [digits = '', exponent = ''] = value.toExponential().split('e');
  const power = Number(exponent);
  if (power >= -4 && power < GENERAL_EXPONENT_FROM) return formatPlain(value);
  const sign = power < 0 ? '-' : '+';
  return `${digits}e${sign}${String(Math.abs(power)).padStart(2, '0')}`;
}

const GENERAL_EXPONENT_FROM = 6;

/** As OpenMetrics writes label values: whole numbers keep a `.0`. */
export function formatOpenMetrics(value: number): string {
  const text = formatSample(value);
  return Number.isInteger(value) && !text.includes('e') ? `${text}.0` : text;
}

function nonFinite(value: number): string {
  if (Number.isNaN(value)) return 'NaN';
  return value > 0 ? '+Inf' : '-Inf';
}
