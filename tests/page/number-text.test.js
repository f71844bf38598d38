import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Decimal } from '../../exness_streams/web/js/decimal.js';
import { counted, duration, exact, exactPercent, fixed, placed, signedPercent, useLocale } from '../../exness_streams/web/js/format.js';
import { knownLocale, notationOf, readNumber, writeNumber } from '../../exness_streams/web/js/number-text.js';

const LOCALES = ['en-US', 'en-GB', 'de-DE', 'de-AT', 'de-CH', 'fr-FR', 'fr-CH', 'hi-IN', 'en-IN', 'ar-EG', 'fa-IR', 'es-ES', 'pt-BR', 'pt-PT', 'pl-PL', 'ru-RU', 'sv-SE', 'tr-TR', 'ja-JP', 'zh-CN', 'bn-BD', 'id-ID', 'it-IT', 'nb-NO', 'mr-IN', 'ne-NP', 'my-MM', 'ar-SA', 'ur-PK', 'ckb-IQ', 'ps-AF', 'pa-Arab-PK', 'sd-PK', 'as-IN', 'dz-BT', 'uz-Arab-AF'];

/**
 * @param {string} text
 * @param {string} locale
 */
function read(text, locale) {
  return readNumber(text, notationOf(locale)).value?.toString() ?? null;
}

/** Decimals of all sizes, the same in each run. */
function* decimals() {
  let seed = 7;
  const next = () => (seed = (seed * 48_271) % 2_147_483_647);
  for (let count = 0; count < 400; count += 1) {
    const length = 1 + (next() % 14);
    let units = '';
    for (let index = 0; index < length; index += 1) units += String(next() % 10);
    yield new Decimal(BigInt(units) * (next() % 5 === 0 ? -1n : 1n), next() % 11);
  }
  for (const text of ['0', '0.00000098', '123456.12345678', '1000000000', '1234', '1.234', '0.001', '-7000.5', '999', '1000']) yield Decimal.from(text);
}

test('what is put into an input is read as the same value, in every place', () => {
  for (const locale of LOCALES) {
    const notation = notationOf(locale);
    for (const value of decimals()) {
      const text = writeNumber(value, notation);
      assert.equal(readNumber(text, notation).value?.toString(), value.toString(), `${locale}: ${text}`);
    }
  }
});

test('what the browser itself writes is read as that value, or refused as ambiguous', () => {
  for (const locale of LOCALES) {
    const notation = notationOf(locale);
    for (const [style, options] of /** @type {[string, Intl.NumberFormatOptions][]} */ ([['own digits', {}], ['0 to 9', { numberingSystem: 'latn' }]])) {
      const format = new Intl.NumberFormat(locale, { ...options, maximumFractionDigits: 20, useGrouping: true });
      for (const value of decimals()) {
        const text = format.format(/** @type {any} */ (value.toString()));
        const { value: got, words } = readNumber(text, notation);
        if (got === null) assert.match(words, /could mean/, `${locale}, ${style}: ${text}: ${words}`);
        else assert.equal(got.toString(), value.toString(), `${locale}, ${style}: ${text}`);
      }
    }
  }
});

test('what the page shows, pasted into a field, is read as that value, or refused as ambiguous', () => {
  for (const locale of LOCALES) {
    useLocale(locale);
    for (const value of decimals()) {
      for (const text of [exact(value), fixed(value, value.places)]) {
        const { value: got, words } = readNumber(text, notationOf(locale));
        if (got === null) assert.match(words, /could mean/, `${locale}: ${text}: ${words}`);
        else assert.equal(got.toString(), value.toString(), `${locale}: ${text}`);
      }
    }
  }
  useLocale('en-US');
});

test('a table of what is read where', () => {
  for (const [locale, text, value] of /** @type {[string, string, string | null][]} */ ([
    ['de-DE', '1,5', '1.5'], ['de-DE', '155,5', '155.5'], ['de-DE', '1.234,5', '1234.5'], ['de-DE', '1.234.567', '1234567'],
    ['de-DE', '1.234', null], ['de-DE', '1.5', null], ['de-DE', '0.001', null], ['de-DE', '150.10', null], ['de-DE', '1,234.5', null],
    ['de-DE', '1.23,5', null], ['de-DE', '1234.567,5', null], ['de-DE', '1,234', '1.234'], ['de-DE', '1.', null],
    ['en-US', '1,5', null], ['en-US', '155,5', null], ['en-US', '1,234', '1234'], ['en-US', '1,234.5', '1234.5'], ['en-US', '1.234,5', null],
    ['en-US', '0,001', null], ['en-US', '1,23,456.5', null], ['en-US', '12,34', null], ['en-US', '1,2345', null], ['en-US', '1.5', '1.5'],
    ['en-US', '.5', '0.5'], ['en-US', '5.', '5'], ['en-US', '5,', null], ['en-US', ',5', null], ['en-US', '.', null], ['en-US', '1..5', null],
    ['en-US', '1.5.5', null], ['en-US', '1,,234', null], ['en-US', '1e3', null], ['en-US', '1E3', null], ['en-US', '1_000', null],
    ['en-US', '0x10', null], ['en-US', 'Infinity', null], ['en-US', 'NaN', null], ['en-US', '1 000', '1000'], ['en-US', '1 5', null], ['en-US', '1 000,000', null],
    ['en-US', ' 5 ', '5'], ['en-US', '+5', '5'], ['en-US', '-5', '-5'], ['en-US', '\u22125', '-5'], ['en-US', '--5', null], ['en-US', '5-', null],
    ['en-US', '- 5', null], ['en-US', '', null], ['en-US', '  ', null], ['en-US', '$5', null], ['en-US', '5%', null], ['en-US', '1\u20185', null],
    ['fr-FR', '1\u202f234,5', '1234.5'], ['fr-FR', '1 234,5', '1234.5'], ['fr-FR', '1\u00a0234,5', '1234.5'], ['fr-FR', '1.5', null], ['fr-FR', '1.234', null],
    ['hi-IN', '1,23,456.5', '123456.5'], ['hi-IN', '123,456.5', null], ['hi-IN', '1,234', '1234'], ['hi-IN', '1,5', null], ['hi-IN', '१,२३,४५६.५', '123456.5'],
    ['de-CH', '1\u2019234.5', '1234.5'], ['de-CH', "1'234.5", '1234.5'], ['de-CH', '1,5', null], ['de-CH', "1'23", null],
    ['ar-EG', '\u0661\u066b\u0665', '1.5'], ['ar-EG', '\u0661\u066c\u0662\u0663\u0664\u066b\u0665', '1234.5'], ['ar-EG', '1.5', '1.5'], ['ar-EG', '1\u060c5', null],
  ])) assert.equal(read(text, locale), value, `${locale}: ${JSON.stringify(text)}`);
});

test('a refusal says how numbers are written here', () => {
  assert.match(readNumber('1,5', notationOf('en-US')).words ?? '', /decimal point here, such as 1\.5/);
  assert.match(readNumber('1.5', notationOf('de-DE')).words ?? '', /decimal comma here, such as 1,5/);
  assert.match(readNumber('1.234', notationOf('de-DE')).words ?? '', /could mean 1234 or 1,234/);
  for (const locale of LOCALES) assert.ok(readNumber('abc', notationOf(locale)).words);
});

test('no text gets a value other than its own: a separator is never dropped', () => {
  for (const locale of LOCALES) {
    const notation = notationOf(locale);
    for (const separator of ['.', ',', ' ', "'", '\u2019', '_', '\u202f', '\u066b', '\u066c', ';', ':']) {
      for (const [head, tail] of [['1', '5'], ['1', '50'], ['1', '5000'], ['155', '5'], ['0', '001'], ['0', '5'], ['1234', '567']]) {
        const got = readNumber(`${head}${separator}${tail}`, notation).value;
        if (got !== null) assert.equal(got.toString(), Decimal.from(`${head}.${tail}`).toString(), `${locale}: ${head}${separator}${tail}`);
      }
    }
  }
});

test('numbers are shown as in the place: groups, signs, percentages, its own digits', () => {
  const value = Decimal.from('-1234567.5');
  for (const [locale, number, four, percent] of [
    ['en-US', '\u22121,234,567.50', '1,234', '+12.50%'],
    ['de-DE', '\u22121.234.567,50', '1.234', '+12,50\u00a0%'],
    ['fr-FR', '\u22121\u202f234\u202f567,50', '1\u202f234', '+12,50\u202f%'],
    ['hi-IN', '\u221212,34,567.50', '1,234', '+12.50%'],
    ['es-ES', '\u22121.234.567,50', '1234', '+12,50\u00a0%'],
    ['de-CH', '\u22121\u2019234\u2019567.50', '1\u2019234', '+12.50%'],
    ['tr-TR', '\u22121.234.567,50', '1.234', '+%12,50'],
    ['ar-EG', '\u2212\u0661\u066c\u0662\u0663\u0664\u066c\u0665\u0666\u0667\u066b\u0665\u0660', '\u0661\u066c\u0662\u0663\u0664', '+\u0661\u0662\u066b\u0665\u0660\u066a'],
    ['mr-IN', '\u2212\u0967\u0968,\u0969\u096a,\u096b\u096c\u096d.\u096b\u0966', '\u0967,\u0968\u0969\u096a', '+\u0967\u0968.\u096b\u0966%'],
  ]) {
    useLocale(locale);
    // Releases of the customs of places differ in such characters.
    const same = (/** @type {string} */ text) => text.replaceAll('\u00a0', '\u202f').replaceAll("'", '\u2019');
    assert.equal(same(fixed(value, 2)), number, locale);
    assert.equal(same(counted(1234)), four, locale);
    assert.equal(same(signedPercent(Decimal.from('12.5'))), same(percent), locale);
  }
  useLocale('fr-FR');
  assert.match(exactPercent(Decimal.from('25')), /^25[\u00a0\u202f]%$/);
  useLocale('ar-EG');
  assert.equal(duration(65_000), '\u0661 min \u0665 s');
  useLocale('en-US');
});

test('a field in the digits of the place: what it writes is what it reads', () => {
  for (const [locale, text] of [['ar-EG', '\u0661\u0662\u066b\u0665'], ['mr-IN', '\u0967\u0968.\u096b'], ['fa-IR', '\u06f1\u06f2\u066b\u06f5'], ['hi-IN', '12.5'], ['de-DE', '12,5']]) {
    assert.equal(writeNumber(Decimal.from('12.5'), notationOf(locale)), text);
    assert.equal(read(text, locale), '12.5');
  }
});

test('numbers in words of the platform are written as in the place, and nothing else in them is touched', () => {
  for (const [locale, words, shown] of [
    ['de-DE', 'margin must be at most 1000.5 USD', 'margin must be at most 1000,5 USD'],
    ['de-DE', 'from 1 to 12.5.', 'from 1 to 12,5.'],
    ['de-DE', 'of 1.5%, at 0.00000098', 'of 1,5%, at 0,00000098'],
    ['de-DE', 'position pos_1.5, request 3f-1.5, version 1.2.3, 127.0.0.1:8080, 2026-11-28T10:00:00.5Z, 1e3.5', 'position pos_1.5, request 3f-1.5, version 1.2.3, 127.0.0.1:8080, 2026-11-28T10:00:00.5Z, 1e3.5'],
    ['en-US', 'margin must be at most 1000.5 USD', 'margin must be at most 1000.5 USD'],
    ['ar-EG', 'at most 10.5 USD', 'at most \u0661\u0660\u066b\u0665 USD'],
  ]) {
    useLocale(locale);
    assert.equal(placed(words), shown);
  }
  useLocale('en-US');
});

test('a place that there is not does not stop the page', () => {
  assert.equal(knownLocale(['de-DE', 'en-US']), 'de-DE');
  assert.equal(knownLocale(['en-US@posix', 'C', 'fr-FR']), 'fr-FR');
  assert.equal(knownLocale(['xx-YY', 'hi-IN']), 'hi-IN');
  assert.equal(knownLocale(['', '!']), 'en-US');
  assert.equal(knownLocale([]), 'en-US');
});
