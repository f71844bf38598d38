/**
 * Puts faults into the page's JavaScript, one at a time, and looks whether `npm test` notices.
 *
 *     node tools/mutate_page.mjs                 all of them
 *     node tools/mutate_page.mjs socket.js       those of one file
 *
 * Each is tried on a copy of the page and its tests: nothing here is changed. Ends with 1 when one goes unnoticed, or when
 * a text that it replaces is no longer there.
 */

import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { MUTANTS } from './page_mutants.mjs';

const ROOT = new URL('..', import.meta.url).pathname;
const PAGE = 'exness_streams/web';
const TIMEOUT_MS = 600_000;
/** Tries every place that the browser knows: only for faults of what it is about. */
const SLOW = 'number-text.test.js';

/** @returns {string} a directory with the page's scripts, styles and tests */
function copy() {
  const place = mkdtempSync(join(tmpdir(), 'page-mutants-'));
  for (const path of [`${PAGE}/js`, `${PAGE}/css`, `${PAGE}/index.html`, 'tests/page', 'package.json']) {
    cpSync(join(ROOT, path), join(place, path), { recursive: true });
  }
  return place;
}

/**
 * The tests that import a file, the one of its name first; or, when none does, those that reach it by way of others.
 * @param {string} place
 * @param {string} file
 */
function testsOf(place, file) {
  const tests = readdirSync(join(place, 'tests/page')).filter((name) => name.endsWith('.test.js'));
  const found = (/** @type {number} */ depth) => tests.filter((name) => reaches(join(place, 'tests/page', name), join(place, PAGE, 'js', file), depth));
  const near = found(1).length > 0 ? found(1) : found(9);
  const isOwn = (/** @type {string} */ name) => name === file.replace('.js', '.test.js');
  return near.filter((name) => name !== SLOW || isOwn(name)).sort((one, other) => Number(isOwn(other)) - Number(isOwn(one)));
}

/**
 * @param {string} from
 * @param {string} to
 * @param {number} depth of imports
 * @returns {boolean}
 */
function reaches(from, to, depth) {
  if (from === to) return true;
  if (depth === 0) return false;
  const imported = readFileSync(from, 'utf8').matchAll(/^import .*?from '(\..*?)'/gms);
  return [...imported].some(([, path]) => reaches(join(from, '..', path), to, depth - 1));
}

/**
 * @param {string} place
 * @param {string} file
 * @returns {boolean} whether its tests pass
 */
function pass(place, file) {
  const run = (/** @type {string} */ test) => spawnSync(process.execPath, [`tests/page/${test}`], { cwd: place, stdio: 'ignore', timeout: TIMEOUT_MS });
  return testsOf(place, file).every((test) => run(test).status === 0);
}

const wanted = process.argv.slice(2);
const chosen = MUTANTS.filter(([file]) => wanted.length === 0 || wanted.includes(file));
const place = copy();
let noticed = 0;
const faults = [];
try {
  const unready = [...new Set(chosen.map(([file]) => file))].filter((file) => !pass(place, file));
  if (unready.length > 0) throw new Error(`the tests fail without any mutant: ${unready.join(', ')}`);
  for (const [file, from, to, what] of chosen) {
    if (process.stderr.isTTY) process.stderr.write('.');
    const path = join(place, PAGE, 'js', file);
    const text = readFileSync(path, 'utf8');
    if (text.split(from).length !== 2) {
      faults.push(`${file}: "${from}" is there ${text.split(from).length - 1} times, not once (${what})`);
      continue;
    }
    writeFileSync(path, text.replace(from, () => to));
    if (pass(place, file)) faults.push(`${file}: not noticed: ${what}`);
    else noticed += 1;
    writeFileSync(path, text);
  }
} finally {
  rmSync(place, { recursive: true });
}
for (const fault of faults) console.log(fault);
console.log(`${noticed} of ${chosen.length} noticed`);
process.exitCode = faults.length > 0 ? 1 : 0;
