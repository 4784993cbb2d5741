/**
 * Elementary functions to the last digit as Prometheus answers them. JavaScript leaves the last
 * digit of most to the engine, and Go's library takes other roads than V8's: so what differs is
 * computed here by the methods Go documents (Sun's for logarithms, Cephes' and Hart & Cheney's for
 * the others; the numbers below are their published coefficients).
 *
 * Known rest: sines of huge arguments, and `exp`, are V8's. Go has it in machine code with fused steps, so that its own last digit
 * depends on the processor; what is built on it (fractional powers, sinh, cosh, tanh) shares that.
 */

const words = (): { readonly float: Float64Array; readonly uint: Uint32Array } => {
  const float = new Float64Array(1);
  return { float, uint: new Uint32Array(float.buffer) };
};

/** The larger one; infinity wins over NaN, NaN over the rest. */
export function maxOf(a: number, b: number): number {
  return a === Infinity || b === Infinity ? Infinity : Math.max(a, b);
}

/** The smaller one; minus infinity wins over NaN, NaN over the rest. */
export function minOf(a: number, b: number): number {
  return a === -Infinity || b === -Infinity ? -Infinity : Math.min(a, b);
}

/** x = fraction * 2^exponent with fraction in [0.5, 1); x is finite and not zero. */
export function splitFloat(x: number): { fraction: number; exponent: number } {
  const isSubnormal = Math.abs(x) < 2 ** -1022;
  const { float, uint } = words();
  float[0] = isSubnormal ? x * 2 ** 52 : x;
  const high = uint[1]!;
  uint[1] = (high & 0x800f_ffff) | 0x3fe0_0000;
  const exponent = ((high >>> 20) & 0x7ff) - 1022 - (isSubnormal ? 52 : 0);
  return { fraction: float[0], exponent };
}

/** fraction * 2^exponent, rounded once. */
function joinFloat(fraction: number, exponent: number): number {
  if (exponent > 1100) return fraction * Infinity;
  if (exponent > 1000) return fraction * 2 ** 1000 * 2 ** (exponent - 1000);
  if (exponent >= -1000) return fraction * 2 ** exponent;
  if (exponent < -1200) return fraction * 0;
  return fraction * 2 ** (exponent + 200) * 2 ** -200;
}

const LN2_HIGH = 6.9314718036912381649e-1;
const LN2_LOW = 1.90821492927058770002e-10;

/** The natural logarithm. */
export function ln(x: number): number {
  if (!(x > 0) || x === Infinity) return Math.log(x);
  const { fraction, exponent } = splitFloat(x);
  const isLow = fraction < Math.SQRT1_2;
  const f = (isLow ? fraction * 2 : fraction) - 1;
  const k = isLow ? exponent - 1 : exponent;
  const s = f / (2 + f);
  const s2 = s * s;
  const s4 = s2 * s2;
  const odd =
    s2 *
    (6.66666666666673513e-1 +
      s4 *
        (2.857142874366239149e-1 + s4 * (1.818357216161805012e-1 + s4 * 1.479819860511658591e-1)));
  const even =
    s4 * (3.999999999940941908e-1 + s4 * (2.222219843214978396e-1 + s4 * 1.531383769920937332e-1));
  const half = 0.5 * f * f;
  return k * LN2_HIGH - (half - (s * (half + (odd + even)) + k * LN2_LOW) - f);
}

/** The logarithm to base 2; exact for powers of two. */
export function log2(x: number): number {
  if (!(x > 0) || x === Infinity) return Math.log2(x);
  const { fraction, exponent } = splitFloat(x);
  if (fraction === 0.5) return exponent - 1;
  return ln(fraction) * Math.LOG2E + exponent;
}

/** The logarithm to base 10. */
export function log10(x: number): number {
  return ln(x) * 0.43429448190325182765; // log10(e)
}

/** x to the power y: whole parts of y by squaring, the rest through exp and ln. */
export function power(x: number, y: number): number {
  if (y === 0 || x === 1) return 1;
  if (x === -1 && (y === Infinity || y === -Infinity)) return 1;
  if (x === 0 || !Number.isFinite(x) || !Number.isFinite(y)) return x ** y;
  if (y === 0.5) return Math.sqrt(x);
  if (y === -0.5) return 1 / Math.sqrt(x);
  let whole = Math.trunc(Math.abs(y));
  let rest = Math.abs(y) - whole;
  if (whole >= 2 ** 63 || (rest !== 0 && x < 0)) return x ** y;
  let result = 1;
  if (rest !== 0) {
    if (rest > 0.5) {
      rest -= 1;
      whole += 1;
    }
    result = Math.exp(rest * ln(x));
  }
  return wholePower(x, whole, result, y < 0);
}

const EXPONENT_MAX = 4096;

/** start * x^count, or its inverse; the exponent is kept apart so that nothing overflows between. */
function wholePower(x: number, count: number, start: number, inverts: boolean): number {
  let { fraction, exponent } = splitFloat(x);
  let result = start;
  let scale = 0;
  for (let rest = count; rest !== 0; rest = Math.floor(rest / 2)) {
    if (Math.abs(exponent) > EXPONENT_MAX) {
      scale += exponent;
      break;
    }
    if (rest % 2 === 1) {
      result *= fraction;
      scale += exponent;
    }
    fraction *= fraction;
    exponent *= 2;
    if (fraction < 0.5) {
      fraction += fraction;
      exponent -= 1;
    }
  }
  return inverts ? joinFloat(1 / result, -scale) : joinFloat(result, scale);
}

/** From here on the reduction by parts of pi is no longer exact; V8's is. */
const REDUCED_MAX = 2 ** 29;

/** |x| = octant * pi/4 + z with an even octant. */
function reduce(x: number): { octant: number; z: number } {
  let octant = Math.floor(x * (4 / Math.PI));
  if (octant % 2 === 1) octant += 1;
  const z =
    x -
    octant * 7.85398125648498535156e-1 -
    octant * 3.77489470793079817668e-8 -
    octant * 2.69515142907905952645e-15;
  return { octant: octant % 8, z };
}

function sineSeries(z: number): number {
  const q = z * z;
  const sum =
    ((((1.5896230157654656806e-10 * q - 2.50507477628578072866e-8) * q +
      2.75573136213857245213e-6) *
      q -
      1.98412698295895385996e-4) *
      q +
      8.33333333332211858878e-3) *
      q -
    1.66666666666666307295e-1;
  return z + z * q * sum;
}

function cosineSeries(z: number): number {
  const q = z * z;
  const sum =
    ((((-1.135853652138768173e-11 * q + 2.08757008419747316778e-9) * q -
      2.75573141792967388112e-7) *
      q +
      2.48015872888517045348e-5) *
      q -
      1.38888888888730564116e-3) *
      q +
    4.16666666666665929218e-2;
  return 1 - 0.5 * q + q * q * sum;
}

export function sin(x: number): number {
  if (x === 0 || !(Math.abs(x) < REDUCED_MAX)) return Math.sin(x);
  const { octant, z } = reduce(Math.abs(x));
  const value = octant % 4 === 2 ? cosineSeries(z) : sineSeries(z);
  return x < 0 !== octant > 3 ? -value : value;
}

export function cos(x: number): number {
  if (!(Math.abs(x) < REDUCED_MAX)) return Math.cos(x);
  const { octant, z } = reduce(Math.abs(x));
  const value = octant % 4 === 2 ? sineSeries(z) : cosineSeries(z);
  return octant === 2 || octant === 4 ? -value : value;
}

export function tan(x: number): number {
  if (x === 0 || !(Math.abs(x) < REDUCED_MAX)) return Math.tan(x);
  const { octant, z } = reduce(Math.abs(x));
  const q = z * z;
  let value = z;
  if (q > 1e-14) {
    const above =
      q *
      ((-1.30936939181383734205e4 * q + 1.1535166483858741614e6) * q - 1.79565251976484877988e7);
    const below =
      (((q + 1.36812963470692954678e4) * q - 1.32089234440210967447e6) * q +
        2.50083801823357915839e7) *
        q -
      5.38695755929454629881e7;
    value = z + z * (above / below);
  }
  if (octant % 4 === 2) value = -1 / value;
  return x < 0 ? -value : value;
}

/** atan on [0, 0.66]. */
function atanSeries(x: number): number {
  const q = x * x;
  const above =
    (((-8.750608600031904122785e-1 * q - 1.615753718733365076637e1) * q -
      7.50085579231470466734e1) *
      q -
      1.22886668449013617341e2) *
      q -
    6.485021904942025371773e1;
  const below =
    ((((q + 2.485846490142306297962e1) * q + 1.650270098316988542046e2) * q +
      4.328810604912902668951e2) *
      q +
      4.853903996359136964868e2) *
      q +
    1.945506571482613964425e2;
  return x * ((q * above) / below) + x;
}

const TAN_3_PI_8 = 2.4142135623730950488;
const HALF_PI_REST = 6.12323399573676588613e-17; // what Math.PI / 2 lacks

function atanPositive(x: number): number {
  if (x <= 0.66) return atanSeries(x);
  if (x > TAN_3_PI_8) return Math.PI / 2 - atanSeries(1 / x) + HALF_PI_REST;
  return Math.PI / 4 + atanSeries((x - 1) / (x + 1)) + 0.5 * HALF_PI_REST;
}

export function atan(x: number): number {
  if (x === 0 || Number.isNaN(x)) return x;
  return x > 0 ? atanPositive(x) : -atanPositive(-x);
}

export function asin(x: number): number {
  const size = Math.abs(x);
  if (x === 0 || !(size <= 1)) return Math.asin(x);
  const root = Math.sqrt(1 - size * size);
  const value = size > 0.7 ? Math.PI / 2 - atanPositive(root / size) : atanPositive(size / root);
  return x < 0 ? -value : value;
}

export function acos(x: number): number {
  return Math.PI / 2 - asin(x);
}

export function atan2(y: number, x: number): number {
  if (x === 0 || y === 0 || !Number.isFinite(x) || !Number.isFinite(y)) return Math.atan2(y, x);
  const quotient = atan(y / x);
  if (x > 0) return quotient;
  return quotient <= 0 ? quotient + Math.PI : quotient - Math.PI;
}

/** Beyond it the smaller exponential no longer counts. */
const ONE_SIDED = 21;

export function sinh(x: number): number {
  const size = Math.abs(x);
  if (size > ONE_SIDED) return Math.sign(x) * Math.exp(size) * 0.5;
  if (size > 0.5) {
    const e = Math.exp(size);
    return (x < 0 ? -1 : 1) * ((e - 1 / e) * 0.5);
  }
  const q = size * size;
  const above =
    (((-0.2630563213397497062819489e2 * q - 0.2894211355989563807284660366e4) * q -
      0.8991272022039509355398013511e5) *
      q -
      0.6307673640497716991184787251e6) *
    size;
  const below =
    ((q - 0.173678953558233699533450911e3) * q + 0.1521517378790019070696485176e5) * q -
    0.6307673640497716991212077277e6;
  return x < 0 ? -(above / below) : above / below;
}

export function cosh(x: number): number {
  const size = Math.abs(x);
  const e = Math.exp(size);
  return size > ONE_SIDED ? e * 0.5 : (e + 1 / e) * 0.5;
}

const TANH_FLAT = 0.5 * 8.8029691931113054295988e1;

export function tanh(x: number): number {
  const size = Math.abs(x);
  if (size > TANH_FLAT) return x < 0 ? -1 : 1;
  if (size >= 0.625) {
    const value = 1 - 2 / (Math.exp(2 * size) + 1);
    return x < 0 ? -value : value;
  }
  if (x === 0) return x;
  const q = x * x;
  const above =
    (-9.64399179425052238628e-1 * q - 9.92877231001918586564e1) * q - 1.61468768441708447952e3;
  const below =
    ((q + 1.12811678491632931402e2) * q + 2.23548839060100448583e3) * q + 4.84406305325125486048e3;
  return x + (x * q * above) / below;
}
