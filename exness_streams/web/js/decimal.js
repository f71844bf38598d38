/**
 * Exact decimals on BigInt, with the server's rounding. A value is `units × 10^-places`; it never was a float.
 */

/** Significant digits of the server's decimal context: quotients and long products are rounded to these. */
const PRECISION = 60;

const PATTERN = /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d{1,3}))?$/;

/** @type {bigint[]} */
const POWERS = [1n];

/**
 * @param {number} exponent
 * @returns {bigint}
 */
function power(exponent) {
  while (POWERS.length <= exponent) POWERS.push(POWERS[POWERS.length - 1] * 10n);
  return POWERS[exponent];
}

/**
 * @param {bigint} units
 * @returns {number}
 */
function digits(units) {
  return (units < 0n ? -units : units).toString().length;
}

/**
 * `units / divisor`, to the nearest whole number, ties to the even one.
 * @param {bigint} units
 * @param {bigint} divisor above zero
 * @param {boolean} [isInexact] whether something was already cut off behind `units`
 */
function divideHalfEven(units, divisor, isInexact = false) {
  const quotient = units / divisor;
  const rest = units % divisor;
  const twice = (rest < 0n ? -rest : rest) * 2n;
  const isUp = twice > divisor || (twice === divisor && (isInexact || quotient % 2n !== 0n));
  if (!isUp) return quotient;
  return units < 0n ? quotient - 1n : quotient + 1n;
}

export class Decimal {
  /**
   * @param {bigint} units
   * @param {number} places at least 0
   */
  constructor(units, places) {
    this.units = units;
    this.places = places;
  }

  /**
   * @param {string | number | bigint} text a number as JSON writes it; a `number` must be whole
   * @returns {Decimal}
   * @throws {RangeError} when it is no number
   */
  static from(text) {
    const match = PATTERN.exec(String(text));
    if (match === null) throw new RangeError(`not a number: ${text}`);
    const fraction = match[3] ?? '';
    const units = BigInt(match[1] + match[2] + fraction);
    const places = fraction.length - Number(match[4] ?? 0);
    return places < 0 ? new Decimal(units * power(-places), 0) : new Decimal(units, places);
  }

  /**
   * @param {string | number | null | undefined} text
   * @returns {Decimal | null} null for null and for what is missing
   */
  static maybe(text) {
    return text === null || text === undefined ? null : Decimal.from(text);
  }

  /** @param {Decimal} other */
  plus(other) {
    if (this.places === other.places) return new Decimal(this.units + other.units, this.places);
    return this.places > other.places
      ? new Decimal(this.units + other.units * power(this.places - other.places), this.places)
      : new Decimal(this.units * power(other.places - this.places) + other.units, other.places);
  }

  /** @param {Decimal} other */
  minus(other) {
    return this.plus(other.negated());
  }

  /** @param {Decimal} other */
  times(other) {
    return new Decimal(this.units * other.units, this.places + other.places);
  }

  /**
   * The quotient to 60 significant digits, half-even, as the server computes it.
   * @param {Decimal} other not zero
   */
  over(other) {
    if (other.units === 0n) throw new RangeError('division by zero');
    const shift = Math.max(0, PRECISION + 2 + digits(other.units) - digits(this.units));
    const sign = other.units < 0n ? -1n : 1n;
    const divisor = other.units * sign;
    const dividend = this.units * sign * power(shift);
    const quotient = dividend / divisor;
    return scaled(quotient, this.places - other.places + shift).toPrecision(dividend % divisor !== 0n);
  }

  /**
   * Rounded to 60 significant digits, half-even.
   * @param {boolean} [isInexact] whether something was already cut off
   */
  toPrecision(isInexact = false) {
    const excess = digits(this.units) - PRECISION;
    return excess <= 0 ? this : scaled(divideHalfEven(this.units, power(excess), isInexact), this.places - excess);
  }

  negated() {
    return new Decimal(-this.units, this.places);
  }

  /**
   * Rounded half-even to a number of places (never padded).
   * @param {number} places
   */
  rounded(places) {
    return this.places <= places ? this : new Decimal(divideHalfEven(this.units, power(this.places - places)), places);
  }

  /**
   * Cut off behind a number of places.
   * @param {number} places
   */
  truncated(places) {
    return this.places <= places ? this : new Decimal(this.units / power(this.places - places), places);
  }

  /**
   * Cut off to a multiple of a step: exactly, whatever the quotient's digits.
   * @param {Decimal} step above zero
   */
  truncatedTo(step) {
    const places = Math.max(this.places, step.places);
    const count = (this.units * power(places - this.places)) / (step.units * power(places - step.places));
    return new Decimal(count * step.units, step.places);
  }

  /**
   * Rounded up to a number of places.
   * @param {number} places
   */
  raised(places) {
    const cut = this.truncated(places);
    return cut.compare(this) < 0 ? cut.plus(new Decimal(1n, places)) : cut;
  }

  /**
   * @param {Decimal} other
   * @returns {number} below, at or above 0
   */
  compare(other) {
    const difference = this.minus(other).units;
    return difference < 0n ? -1 : difference > 0n ? 1 : 0;
  }

  get isZero() {
    return this.units === 0n;
  }

  /** -1, 0 or 1. */
  get sign() {
    return this.units < 0n ? -1 : this.units > 0n ? 1 : 0;
  }

  /** The power of ten of its first digit, 0 for zero. */
  get magnitude() {
    return this.units === 0n ? 0 : digits(this.units) - 1 - this.places;
  }

  /** Without zeros at the end, as the API writes it. */
  toString() {
    const text = this.toFixed(this.places);
    return text.includes('.') ? text.replace(/\.?0+$/, '') : text;
  }

  /**
   * With exactly so many places, half-even. A zero has no sign.
   * @param {number} places
   */
  toFixed(places) {
    const rounded = this.rounded(places);
    const units = rounded.units * power(places - rounded.places);
    const text = (units < 0n ? -units : units).toString().padStart(places + 1, '0');
    const whole = text.slice(0, text.length - places);
    return (units < 0n ? '-' : '') + (places === 0 ? whole : `${whole}.${text.slice(text.length - places)}`);
  }

  /** For drawing only: a float. */
  toNumber() {
    return Number(this.toString());
  }
}

/**
 * @param {bigint} units
 * @param {number} places may be negative
 */
function scaled(units, places) {
  return places < 0 ? new Decimal(units * power(-places), 0) : new Decimal(units, places);
}

export const ZERO = new Decimal(0n, 0);
export const ONE = new Decimal(1n, 0);
export const HUNDRED = new Decimal(100n, 0);

/**
 * @param {Decimal} one
 * @param {Decimal} other
 */
export function largerOf(one, other) {
  return one.compare(other) >= 0 ? one : other;
}
