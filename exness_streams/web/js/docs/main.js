/**
 * The API's own page: the OpenAPI document in its viewer, where requests can be tried, and the AsyncAPI document.
 */
import { byId, setText } from '../dom.js';
import { messagesOf } from './messages.js';
import { operationsOf } from './operations.js';

/** @typedef {import('./schemas.js').Json} Json */

const OPENAPI = '/api/v1/openapi.json';
const ASYNCAPI = '/api/v1/asyncapi.json';
const SECTIONS = ['http', 'messages'];

/**
 * @param {string} path
 * @returns {Promise<Json>}
 */
async function read(path) {
  const answer = await fetch(path);
  if (!answer.ok) throw new Error(`${path} answers ${answer.status}`);
  return answer.json();
}

/** @param {string} words */
function notice(words) {
  const place = byId('notice', HTMLElement);
  place.hidden = false;
  setText(place, words);
}

/**
 * A document for trying: requests go to this page's own origin, and carry no header that nobody has chosen. An
 * Idempotency-Key that is the same each time would let the second try answer the first one's outcome.
 * @param {Json} document
 * @returns {Json}
 */
function forTrying(document) {
  const parameters = [
    ...Object.values(document.components?.parameters ?? {}),
    ...Object.values(document.paths).flatMap((item) => Object.values(/** @type {Json} */ (item)).flatMap((operation) => operation.parameters ?? [])),
  ];
  for (const parameter of parameters) {
    if (parameter.in !== 'header') continue;
    delete parameter.example;
    delete parameter.examples;
    for (const name of ['default', 'example', 'examples']) delete parameter.schema?.[name];
  }
  return { ...document, servers: [{ url: location.origin }] };
}

async function showOperations() {
  const place = byId('http', HTMLElement);
  const document = await read(OPENAPI);
  const viewer = /** @type {{SwaggerUIBundle?: (options: Json) => unknown}} */ (/** @type {unknown} */ (window)).SwaggerUIBundle;
  if (viewer === undefined) {
    notice(
      'The viewer with which requests can be tried is not installed: install Node.js with npm, then install Exness Streams again. ' +
        'The document is shown without it.',
    );
    place.append(operationsOf(document));
    return;
  }
  viewer({
    spec: forTrying(document),
    domNode: place,
    deepLinking: false, // the address names a section
    displayRequestDuration: true,
    tryItOutEnabled: true,
    validatorUrl: null, // asks nobody else
    docExpansion: 'list',
    defaultModelsExpandDepth: 0,
  });
}

function showSection() {
  const chosen = SECTIONS.includes(location.hash.slice(1)) ? location.hash.slice(1) : 'http';
  for (const name of SECTIONS) {
    byId(name, HTMLElement).hidden = name !== chosen;
    const link = window.document.querySelector(`nav a[href="#${name}"]`);
    if (name === chosen) link?.setAttribute('aria-current', 'page');
    else link?.removeAttribute('aria-current');
  }
}

/** @param {Promise<void>} work */
async function told(work) {
  try {
    await work;
  } catch (error) {
    notice(`This can't be shown: ${error instanceof Error ? error.message : error}. Load the page again.`);
  }
}

window.addEventListener('hashchange', showSection);
for (const name of SECTIONS) {
  // The viewer takes clicks on such links for its own smooth scrolling, and then tells nobody that the address changed.
  window.document.querySelector(`nav a[href="#${name}"]`)?.addEventListener('click', (event) => {
    event.preventDefault();
    event.stopPropagation();
    location.hash = name;
  });
}
showSection();
await Promise.all([
  told(showOperations()),
  told(read(ASYNCAPI).then((document) => byId('messages', HTMLElement).append(messagesOf(document)))),
]);
