/**
 * JSON Schemas in words, and as tables of fields.
 */
import { make } from '../dom.js';

/** @typedef {Record<string, any>} Json */

/**
 * What a reference within a document names; anything else as it is.
 * @param {Json} document
 * @param {Json} node
 * @returns {Json}
 */
export function resolved(document, node) {
  let found = node;
  for (let hops = 0; typeof found?.$ref === 'string' && hops < 16; hops += 1) {
    found = found.$ref
      .replace(/^#\//, '')
      .split('/')
      .reduce((/** @type {Json} */ at, /** @type {string} */ name) => at?.[name.replace(/~1/g, '/').replace(/~0/g, '~')], document);
  }
  return found ?? {};
}

/**
 * The name at the end of a reference.
 * @param {Json} node
 */
export function nameOf(node) {
  return String(node.$ref ?? '').split('/').pop() ?? '';
}

/**
 * What a value may be, in a few words.
 * @param {Json} schema
 * @returns {string}
 */
export function inWords(schema) {
  if (schema.$ref) return nameOf(schema);
  if ('const' in schema) return JSON.stringify(schema.const);
  if (Array.isArray(schema.enum)) return schema.enum.map((/** @type {unknown} */ one) => JSON.stringify(one)).join(' | ');
  const choices = schema.anyOf ?? schema.oneOf;
  if (Array.isArray(choices)) return choices.map(inWords).join(' | ');
  if (Array.isArray(schema.allOf)) return schema.allOf.map(inWords).filter(Boolean).join(' & ');
  if (schema.type === 'array') return `list of ${inWords(schema.items ?? {})}`;
  if (schema.type === 'object' && typeof schema.additionalProperties === 'object') return `object of ${inWords(schema.additionalProperties)}`;
  if (Array.isArray(schema.type)) return schema.type.join(' | ');
  return schema.type ?? 'anything';
}

/**
 * A table of an object's fields; those that it holds in tables of their own beneath.
 * @param {Json} document
 * @param {Json} schema
 * @param {string} caption
 * @returns {HTMLElement[]}
 */
export function fieldTables(document, schema, caption) {
  const object = resolved(document, schema);
  const fields = Object.entries(object.properties ?? {});
  const words = object.description ? [make('p', {}, object.description)] : [];
  if (fields.length === 0) return [...words, make('p', {}, make('code', {}, inWords(object)))];
  const required = new Set(object.required ?? []);
  const rows = fields.map(([name, field]) =>
    make(
      'tr',
      {},
      make('td', {}, make('code', {}, name)),
      make('td', {}, make('code', {}, inWords(field))),
      make('td', {}, [required.has(name) ? '' : 'may be absent', field.description ?? ''].filter(Boolean).join('; ')),
    ),
  );
  const table = make('table', {}, make('caption', {}, caption), make('tbody', {}, ...rows));
  return [...words, table, ...fields.flatMap(([, field]) => held(document, field, caption))];
}

/**
 * @param {Json} document
 * @param {Json} field
 * @param {string} within whose field it is: a type that holds itself is shown once
 * @returns {HTMLElement[]}
 */
function held(document, field, within) {
  const parts = [field, field.items, ...(field.anyOf ?? []), ...(field.oneOf ?? [])];
  return parts
    .filter((part) => part?.$ref && nameOf(part) !== within && resolved(document, part).properties)
    .flatMap((part) => fieldTables(document, part, nameOf(part)));
}

/**
 * Something to unfold.
 * @param {string} testId
 * @param {(Node | string)[]} summary
 * @param {Node[]} inside
 */
export function unfolding(testId, summary, inside) {
  return make('details', { 'data-testid': testId }, make('summary', {}, ...summary), make('div', { class: 'inside' }, ...inside));
}
