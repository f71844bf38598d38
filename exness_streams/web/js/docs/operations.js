/**
 * An OpenAPI document to read, without its viewer: operations, what they take and what they answer.
 */
import { make } from '../dom.js';
import { fieldTables, inWords, nameOf, resolved, unfolding } from './schemas.js';

/** @typedef {import('./schemas.js').Json} Json */

const METHODS = new Set(['get', 'post', 'put', 'patch', 'delete']);

/**
 * @param {Json} document
 * @returns {HTMLElement}
 */
export function operationsOf(document) {
  const all = Object.entries(document.paths).flatMap(([path, item]) =>
    Object.entries(item)
      .filter(([method]) => METHODS.has(method))
      .map(([method, operation]) => ({ path, method, operation: /** @type {Json} */ (operation) })),
  );
  const tags = (document.tags ?? []).map((/** @type {Json} */ tag) =>
    make(
      'section',
      {},
      make('h2', {}, tag.name),
      make('p', {}, tag.description ?? ''),
      ...all.filter(({ operation }) => operation.tags?.includes(tag.name)).map((one) => operationOf(document, one)),
    ),
  );
  return make('div', { class: 'doc' }, make('p', {}, document.info.description), ...tags);
}

/**
 * @param {Json} document
 * @param {{path: string, method: string, operation: Json}} one
 */
function operationOf(document, { path, method, operation }) {
  const title = [make('code', { class: 'method' }, method.toUpperCase()), make('code', {}, path), ' ', operation.summary ?? ''];
  return unfolding(`operation-${operation.operationId}`, title, [
    ...parametersOf(document, operation),
    ...bodyOf(document, operation),
    ...answersOf(document, operation),
  ]);
}

/**
 * @param {Json} document
 * @param {Json} operation
 * @returns {HTMLElement[]}
 */
function parametersOf(document, operation) {
  const rows = (operation.parameters ?? []).map((/** @type {Json} */ reference) => {
    const parameter = resolved(document, reference);
    return make(
      'tr',
      {},
      make('td', {}, make('code', {}, parameter.name)),
      make('td', {}, make('code', {}, inWords(parameter.schema ?? {}))),
      make('td', {}, [parameter.in, parameter.description ?? ''].filter(Boolean).join('; ')),
    );
  });
  return rows.length === 0 ? [] : [make('table', {}, make('caption', {}, 'Parameters'), make('tbody', {}, ...rows))];
}

/**
 * @param {Json} document
 * @param {Json} operation
 * @returns {HTMLElement[]}
 */
function bodyOf(document, operation) {
  const contents = Object.values(operation.requestBody?.content ?? {});
  return contents.flatMap((/** @type {Json} */ content) => fieldTables(document, content.schema, `Body: ${nameOf(content.schema)}`));
}

/**
 * @param {Json} document
 * @param {Json} operation
 * @returns {HTMLElement[]}
 */
function answersOf(document, operation) {
  return Object.entries(operation.responses ?? {}).flatMap(([status, reference]) => {
    const answer = resolved(document, reference);
    const schema = /** @type {Json | undefined} */ (answer.content?.['application/json'])?.schema;
    const words = make('p', {}, make('strong', {}, status), ` ${answer.description ?? ''}`);
    return schema?.$ref ? [words, ...fieldTables(document, schema, nameOf(schema))] : [words];
  });
}
