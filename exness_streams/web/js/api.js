/**
 * The REST API: exact numbers, errors in words, and submits that may be repeated without being done twice.
 */

import { parseExact } from './exact-json.js';

const ATTEMPTS_MAX = 5;
const ATTEMPT_MS_MAX = 8_000;
const PAUSE_MS = { first: 400, most: 4_000 };
/** Refusals by the market, not by the platform's condition: the trader decides whether to ask again. */
const FINAL_CODES = new Set(['PRICE_UNAVAILABLE']);

/** An answer that is not a success. */
export class ApiError extends Error {
  /**
   * @param {number} status 0 when no answer came
   * @param {string} code
   * @param {string} message for a person
   * @param {Record<string, any>} [details]
   * @param {number} [retryAfterMs] for how long the platform wants not to be asked again
   */
  constructor(status, code, message, details = {}, retryAfterMs = 0) {
    super(message);
    this.status = status;
    this.code = code;
    this.details = details;
    this.retryAfterMs = retryAfterMs;
  }

  /** Whether the same request may still have been carried out. */
  get isUnknown() {
    return this.code === 'OUTCOME_UNKNOWN';
  }
}

/** A name for one submit, never used twice. Also where `randomUUID` is missing: pages not from localhost or HTTPS. */
export function newKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('');
}

export class Api {
  /** Hears of each answer that says the page acts for nobody, or for another than it shows. */
  onRefusal = (/** @type {ApiError} */ _error) => {};

  /**
   * @param {string | null} account null: whom the server takes the page's user for
   */
  constructor(account) {
    this.account = account;
  }

  /** @returns {Record<string, string>} */
  get headers() {
    return this.account === null ? {} : { 'X-Account': this.account };
  }

  /**
   * @param {string} path
   * @returns {Promise<any>} numbers as strings
   * @throws {ApiError}
   */
  async get(path) {
    return this.#answer(path, { headers: this.headers });
  }

  /**
   * Ask once, without a key.
   * @param {string} method
   * @param {string} path
   * @param {object} [body]
   * @returns {Promise<any>} numbers as strings
   * @throws {ApiError}
   */
  async send(method, path, body) {
    if (body === undefined) return this.#answer(path, { method, headers: this.headers });
    const headers = { ...this.headers, 'Content-Type': 'application/json' };
    return this.#answer(path, { method, headers, body: JSON.stringify(body) });
  }

  /**
   * Ask of the sign-in itself, which is about no account that the page shows, and whose refusals change nothing.
   * @param {string} path
   * @param {object} [body] of a POST
   * @returns {Promise<any>} numbers as strings
   * @throws {ApiError}
   */
  async ask(path, body) {
    if (body === undefined) return answerOf(await this.#send(path, {}));
    const headers = { 'Content-Type': 'application/json' };
    return answerOf(await this.#send(path, { method: 'POST', headers, body: JSON.stringify(body) }));
  }

  /**
   * All closed trades as CSV.
   * @param {string} query
   * @returns {Promise<Blob>}
   * @throws {ApiError}
   */
  async csv(query) {
    const headers = { ...this.headers, Accept: 'text/csv' };
    const response = await this.#send(`/api/v1/trades${query}`, { headers }, 120_000);
    if (!response.ok) await this.#heard(answerOf(response));
    return response.blob();
  }

  /**
   * Submit. Where no answer came, or one that says "not now", it is repeated with the same key.
   * @param {string} path
   * @param {object} body
   * @param {{ key?: string, onRetry?: (attempt: number, attemptsMax: number) => void }} [options]
   * @returns {Promise<any>} numbers as strings
   * @throws {ApiError} OUTCOME_UNKNOWN when it was given up
   */
  async post(path, body, { key = newKey(), onRetry } = {}) {
    const request = {
      method: 'POST',
      headers: { ...this.headers, 'Content-Type': 'application/json', 'Idempotency-Key': key },
      body: JSON.stringify(body),
    };
    let [isMaybeDone, pauseMsMin] = [false, 0];
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await this.#answer(path, request);
      } catch (error) {
        if (!(error instanceof ApiError) || !isRepeatable(error)) throw error;
        isMaybeDone ||= error.status === 0 || error.status === 504 || error.status === 502;
        pauseMsMin = Math.min(error.retryAfterMs, PAUSE_MS.most);
        if (attempt === ATTEMPTS_MAX) throw isMaybeDone ? gaveUp() : error;
      }
      onRetry?.(attempt + 1, ATTEMPTS_MAX);
      const pause = Math.min(PAUSE_MS.most, PAUSE_MS.first * 2 ** (attempt - 1));
      await new Promise((resolve) => setTimeout(resolve, Math.max(pauseMsMin, pause / 2) + (Math.random() * pause) / 2));
    }
  }

  /**
   * @param {string} path
   * @param {RequestInit} request
   */
  async #answer(path, request) {
    return this.#heard(answerOf(await this.#send(path, request)));
  }

  /**
   * @template T
   * @param {Promise<T>} answer
   */
  async #heard(answer) {
    try {
      return await answer;
    } catch (error) {
      if (error instanceof ApiError && (error.status === 401 || error.code === 'ACCOUNT_CHANGED')) this.onRefusal(error);
      throw error;
    }
  }

  /**
   * @param {string} path
   * @param {RequestInit} request
   * @param {number} [timeoutMs]
   */
  async #send(path, request, timeoutMs = ATTEMPT_MS_MAX) {
    try {
      return await fetch(path, { ...request, cache: 'no-store', signal: AbortSignal.timeout(timeoutMs) });
    } catch {
      throw new ApiError(0, 'NO_ANSWER', 'The platform did not answer.');
    }
  }
}

/**
 * @param {Response} response
 * @returns {Promise<any>}
 * @throws {ApiError}
 */
async function answerOf(response) {
  let text;
  try {
    text = await response.text();
  } catch {
    throw new ApiError(0, 'NO_ANSWER', 'The answer broke off.');
  }
  let message;
  try {
    message = parseExact(text);
  } catch {
    message = {};
  }
  if (response.ok) return message;
  const words = typeof message.message === 'string' ? message.message : `The platform answered ${response.status}.`;
  const retryAfterMs = 1000 * (Number(response.headers.get('Retry-After')) || 0);
  throw new ApiError(response.status, message.error ?? `HTTP_${response.status}`, words, message.details, retryAfterMs);
}

/** @param {ApiError} error */
function isRepeatable(error) {
  return [0, 502, 503, 504].includes(error.status) && !FINAL_CODES.has(error.code);
}

function gaveUp() {
  return new ApiError(
    0,
    'OUTCOME_UNKNOWN',
    `The platform did not answer after ${ATTEMPTS_MAX} attempts, so it is not known whether this was carried out. ` +
      'Asking again uses the same key: it cannot happen twice.',
  );
}
