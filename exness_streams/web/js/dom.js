/**
 * Small things around the DOM.
 */

/**
 * The element with an id; it is in index.html.
 * @template {HTMLElement} T
 * @param {string} id
 * @param {new () => T} kind
 * @returns {T}
 */
export function byId(id, kind) {
  const element = document.getElementById(id);
  if (!(element instanceof kind)) throw new TypeError(`index.html has no ${kind.name} #${id}`);
  return element;
}

/**
 * The first element that matches.
 * @template {Element} T
 * @param {ParentNode} root
 * @param {string} selector
 * @param {new () => T} kind
 * @returns {T}
 */
export function find(root, selector, kind) {
  const element = root.querySelector(selector);
  if (!(element instanceof kind)) throw new TypeError(`no ${kind.name} ${selector}`);
  return element;
}

/**
 * The keyboard goes on where it was before something was disabled, which loses the focus; unless it went elsewhere since.
 * @param {Element | null} element
 */
export function refocus(element) {
  const isNowhere = document.activeElement === null || document.activeElement === document.body;
  if (isNowhere && element instanceof HTMLElement) element.focus();
}

/**
 * A new element.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Record<string, string>} [attributes]
 * @param {(Node | string)[]} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/**
 * A new SVG element.
 * @param {string} tag
 * @param {Record<string, string | number>} attributes
 */
export function makeSvg(tag, attributes) {
  const element = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  return element;
}

/**
 * Set an element's text, if it is another one: an unchanged text costs no layout.
 * @param {Element} element
 * @param {string} text
 */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * Say what is wrong with a field, or (null) that nothing is.
 * @param {HTMLInputElement} input its error's id is `${input.id}-error`, unless told
 * @param {string | null} words
 * @param {HTMLElement | null} [place]
 */
export function setFieldError(input, words, place = document.getElementById(`${input.id}-error`)) {
  input.setAttribute('aria-invalid', String(words !== null));
  if (place === null) return;
  place.hidden = words === null;
  setText(place, words ?? '');
}
