/**
 * An AsyncAPI document to read: channels, their messages, and the fields of each.
 */
import { make } from '../dom.js';
import { fieldTables, nameOf, resolved, unfolding } from './schemas.js';

/** @typedef {import('./schemas.js').Json} Json */

/**
 * @param {Json} document
 * @returns {HTMLElement}
 */
export function messagesOf(document) {
  const channels = Object.entries(document.channels).map(([name, channel]) => channelOf(document, name, channel));
  return make('div', { class: 'doc' }, make('p', {}, document.info.description), ...channels);
}

/**
 * @param {Json} document
 * @param {string} name
 * @param {Json} channel
 */
function channelOf(document, name, channel) {
  const servers = (channel.servers ?? []).map((/** @type {Json} */ one) => resolved(document, one).protocol).join(', ');
  const asked = channel.bindings?.ws?.query;
  return make(
    'section',
    { 'data-testid': `channel-${name}` },
    make('h2', {}, channel.address, ' ', make('code', {}, servers)),
    make('p', {}, channel.summary ?? ''),
    ...(asked ? [unfolding('query', ['What may be asked for in the URL'], fieldTables(document, asked, 'Query'))] : []),
    ...Object.values(channel.messages).map((/** @type {Json} */ one) => messageOf(document, one)),
  );
}

/**
 * @param {Json} document
 * @param {Json} reference
 */
function messageOf(document, reference) {
  const message = resolved(document, reference);
  const payload = resolved(document, message.payload);
  const first = String(payload.description ?? '').split('\n')[0] ?? '';
  const tag = payload.properties?.type?.const ?? payload.properties?.type?.enum?.[0];
  const headers = message.headers ? fieldTables(document, message.headers, 'Headers') : [];
  const title = [make('strong', {}, make('code', {}, tag ?? message.title)), ' ', first];
  return unfolding(`message-${nameOf(reference)}`, title, [...headers, ...fieldTables(document, message.payload, nameOf(message.payload))]);
}
