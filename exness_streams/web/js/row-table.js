/**
 * A table of which only the rows in sight exist. Rows have one height and are kept by key; a cell is written only
 * when its text has changed.
 */

import { make } from './dom.js';
import { usedNotation } from './format.js';
import { columnWide, digitsWide, layOut } from './row-layout.js';
import { nextSort, ordered } from './row-order.js';

const OVERSCAN = 3;
const PROBE_DIGITS = 20;
/** Less room than this: always cards. As in tables.css. */
const NARROW_PX = 640;
/** Rows that are sorted by what moves are put in order so often. */
const RESORT_MS = 1000;

/**
 * @template R
 * @typedef {object} Column
 * @property {string} label
 * @property {string} [css] classes of the cells
 * @property {number} [px] what its cells need besides text
 * @property {(row: R) => number} [size] of a cell that is built: its letters
 * @property {boolean} [isStrong] whether its tone may make it bold
 * @property {(row: R) => string} [text]
 * @property {(row: R) => string} [tone] a class that depends on the row
 * @property {(row: R, cell: HTMLElement) => void} [fill] builds the cell, once a row
 * @property {number} [rank] the higher, the sooner it is left out where there is no room; 0 or none: never
 * @property {(row: R) => import('./row-order.js').SortValue} [sort] what rows are sorted by
 * @property {boolean} [isText] sorted from A first
 * @property {boolean} [isLive] whether that moves with the market
 */

/**
 * @template R
 * @typedef {{ element: HTMLTableRowElement, cells: HTMLTableCellElement[], texts: string[], tones: string[], row: R }} Drawn
 */

/** @template R */
export class RowTable {
  /** As they were given. @type {R[]} */
  #given = [];
  /** As they are shown. @type {R[]} */
  #rows = [];
  /** @type {import('./row-order.js').Sort | null} */
  #sort = null;
  #isSortDue = false;
  /** Which columns there is room for. @type {boolean[]} */
  #isShown = [];
  /** @type {Map<string, Drawn<R>>} */
  #drawn = new Map();
  #rowHeight = 36;
  #head = 0;
  /** The longest texts that the layout knows of. @type {number[]} */
  #chars = [];
  #layoutName = '';
  #window = '';

  /**
   * @param {HTMLElement} host
   * @param {{ name: string, empty: string, columns: Column<R>[], keyOf: (row: R) => string,
   *   frames: import('./frames.js').Frames, rowCss?: (row: R) => string, onNearEnd?: () => void,
   *   onPick?: (row: R) => void, onAction?: (action: string, row: R) => void }} options
   */
  constructor(host, options) {
    this.options = options;
    this.body = make('tbody', { role: 'rowgroup' });
    this.above = gap();
    this.below = gap();
    this.body.append(this.above.row, this.below.row);
    this.head = headOf(options.columns);
    this.table = make('table', { role: 'table', 'aria-label': options.name }, this.head, this.body);
    this.probe = make('span', { class: 'probe', 'aria-hidden': 'true' }, (usedNotation().shown.digits?.[0] ?? '0').repeat(PROBE_DIGITS));
    this.scroller = make('div', { class: 'scroller', tabindex: '0', role: 'region', 'aria-label': options.name }, this.table, this.probe);
    this.empty = make('p', { class: 'empty' }, options.empty);
    this.sorter = sorterOf(options.columns, options.name);
    host.classList.add('rows');
    host.append(this.empty, this.sorter.label, this.scroller);
    this.head.addEventListener('click', (event) => this.#clickHead(event));
    this.sorter.select.addEventListener('change', () => this.#sortBy(this.sorter.sort));
    this.scroller.addEventListener('scroll', () => options.frames.request(this.#draw), { passive: true });
    new ResizeObserver(() => this.#measure()).observe(this.scroller);
    this.body.addEventListener('click', (event) => this.#click(event));
  }

  /** @param {R[]} rows in the order in which they are shown */
  setRows(rows) {
    this.#given = rows;
    this.#rows = this.#inOrder();
    this.empty.hidden = rows.length > 0;
    this.scroller.hidden = rows.length === 0;
    this.sorter.label.hidden = rows.length === 0 || !this.scroller.classList.contains('cards');
    this.table.setAttribute('aria-rowcount', String(rows.length + 1));
    this.#window = '';
    this.#draw();
    this.#fit();
  }

  /**
   * Write what has changed in the rows in sight.
   * @param {(row: R) => boolean} concerns
   */
  refresh(concerns) {
    for (const drawn of this.#drawn.values()) if (concerns(drawn.row)) this.#write(drawn);
    if (this.#sort === null || this.#isSortDue || !this.options.columns[this.#sort.column].isLive) return;
    this.#isSortDue = true;
    setTimeout(() => this.#sortAgain(), RESORT_MS);
  }

  #inOrder() {
    const valueOf = this.#sort && this.options.columns[this.#sort.column].sort;
    return valueOf ? ordered(this.#given, valueOf, this.#sort?.isAscending ?? true) : this.#given;
  }

  /** What moved may have changed the order. Not below a pointer or the focus: a click must hit what was aimed at. */
  #sortAgain() {
    this.#isSortDue = false;
    if (this.body.matches(':hover') || this.body.contains(document.activeElement)) return;
    this.#rows = this.#inOrder();
    this.#window = '';
    this.#draw();
  }

  /** @param {MouseEvent} event */
  #clickHead(event) {
    const head = event.target instanceof Element && event.target.closest('button') ? event.target.closest('th') : null;
    if (head === null) return;
    const column = head.cellIndex;
    this.#sortBy(nextSort(this.#sort, column, this.options.columns[column].isText ?? false));
  }

  /** @param {import('./row-order.js').Sort | null} sort null: as they are given */
  #sortBy(sort) {
    this.#sort = sort;
    for (const [index, head] of [...this.head.querySelectorAll('th')].entries()) {
      if (!this.options.columns[index].sort) continue;
      head.setAttribute('aria-sort', sort?.column !== index ? 'none' : sort.isAscending ? 'ascending' : 'descending');
    }
    this.sorter.sort = sort;
    this.#rows = this.#inOrder();
    this.#window = '';
    this.scroller.scrollTop = 0;
    this.#draw();
  }

  /** Every cell anew: what they are written in has changed. */
  rebuild() {
    for (const [key, drawn] of this.#drawn) this.#drop(key, drawn);
    this.#measure();
    this.#window = '';
    this.#draw();
  }

  #measure() {
    this.#layoutName = '';
    this.#fit();
    this.options.frames.request(this.#draw);
  }

  /** Give each column the room that its texts need, or each row a card. */
  #fit = () => {
    const room = this.scroller.clientWidth;
    if (room === 0) return;
    const isNarrow = (this.scroller.parentElement?.clientWidth ?? room) < NARROW_PX;
    const shown = this.options.columns.map(({ css = '' }) => !(isNarrow && css.includes('phone-off')));
    this.#chars = this.options.columns.map(({ label, size, px, text, sort, css = '', isStrong = false }, index) => {
      if (!text && !size) return px ? 0 : label.length;
      const lengths = [...this.#drawn.values()].map((drawn) => size?.(drawn.row) ?? digitsWide(drawn.texts[index] ?? ''));
      return columnWide(label, Math.max(...lengths, 0), /cell-(strong|market)/.test(css) || isStrong, sort !== undefined);
    });
    const cells = this.options.columns.map(({ px = 0, rank = 0 }, index) => ({ chars: this.#chars[index], fixedPx: px, rank }));
    const digit = this.probe.getBoundingClientRect().width / PROBE_DIGITS;
    const layout = layOut(cells.filter((_, index) => shown[index]), { room, digit, isNarrow });
    const name = JSON.stringify([layout, room]);
    if (name === this.#layoutName) return;
    this.#layoutName = name;
    this.scroller.classList.toggle('cards', layout.isCards);
    this.sorter.label.hidden = !layout.isCards || this.#rows.length === 0;
    this.#isShown = this.options.columns.map((_, index) => layout.isCards || layout.isShown[index]);
    for (const cells of [[...this.head.querySelectorAll('th')], ...[...this.#drawn.values()].map((drawn) => drawn.cells)]) this.#showCells(cells);
    // As wide as what is shown: a cell over more columns would make room for them.
    this.above.cell.colSpan = this.below.cell.colSpan = this.#isShown.filter(Boolean).length;
    this.scroller.style.setProperty('--row', layout.isCards ? `${layout.rowHeight}px` : '');
    if (layout.isCards) {
      this.scroller.style.setProperty('--per-line', String(layout.perLine));
      this.scroller.style.setProperty('--actions-span', String(layout.actionsSpan));
    } else {
      const heads = /** @type {HTMLElement[]} */ ([...this.head.querySelectorAll('th')]);
      for (const [index, width] of layout.widths.entries()) heads[index].style.width = `${width}px`;
    }
    this.#rowHeight = parseFloat(getComputedStyle(this.scroller).getPropertyValue('--row')) || 36;
    this.#head = layout.isCards ? 0 : (this.table.tHead?.offsetHeight ?? 0);
    this.#window = '';
    this.options.frames.request(this.#draw);
  };

  /** @param {HTMLElement[]} cells of a row */
  #showCells(cells) {
    for (const [index, cell] of cells.entries()) cell.hidden = this.#isShown[index] === false;
  }

  #draw = () => {
    const { keyOf } = this.options;
    const { scrollTop, clientHeight } = this.scroller;
    const first = Math.max(0, Math.floor((scrollTop - this.#head) / this.#rowHeight) - OVERSCAN);
    const last = Math.min(this.#rows.length, Math.ceil((scrollTop + clientHeight) / this.#rowHeight) + OVERSCAN);
    if (last >= this.#rows.length && scrollTop > 0) this.options.onNearEnd?.();
    const range = `${first}-${last}`;
    if (range === this.#window) return;
    this.#window = range;
    const wanted = this.#rows.slice(first, last);
    const keys = new Set(wanted.map(keyOf));
    for (const [key, drawn] of this.#drawn) if (!keys.has(key)) this.#drop(key, drawn);
    let before = /** @type {Element} */ (this.above.row);
    for (const [index, row] of wanted.entries()) {
      const drawn = this.#drawn.get(keyOf(row)) ?? this.#create(row);
      drawn.row = row;
      drawn.element.setAttribute('aria-rowindex', String(first + index + 2));
      if (before.nextElementSibling !== drawn.element) before.after(drawn.element);
      before = drawn.element;
      this.#write(drawn);
    }
    this.above.setHeight(first * this.#rowHeight);
    this.below.setHeight((this.#rows.length - Math.max(first, last)) * this.#rowHeight);
  };

  /**
   * @param {string} key
   * @param {Drawn<R>} drawn
   */
  #drop(key, drawn) {
    // The focus must not fall off the page with the row that had it.
    if (drawn.element.contains(document.activeElement)) this.scroller.focus({ preventScroll: true });
    drawn.element.remove();
    this.#drawn.delete(key);
  }

  /**
   * @param {R} row
   * @returns {Drawn<R>}
   */
  #create(row) {
    const element = make('tr', { role: 'row', 'data-key': this.options.keyOf(row), 'data-testid': 'row' });
    const cells = this.options.columns.map((column) => {
      const cell = make('td', { role: 'cell', class: column.css ?? '', 'data-label': column.label });
      column.fill?.(row, cell);
      return cell;
    });
    element.append(...cells);
    this.#showCells(cells);
    element.addEventListener('pointerenter', () => (element.title = this.#leftOut(drawn)));
    /** @type {Drawn<R>} */
    const drawn = { element, cells, texts: [], tones: [], row };
    this.#drawn.set(this.options.keyOf(row), drawn);
    return drawn;
  }

  /**
   * The figures that there is no room for.
   * @param {Drawn<R>} drawn
   */
  #leftOut({ texts }) {
    const out = this.options.columns.map(({ label }, index) => (this.#isShown[index] === false ? `${label}: ${texts[index] ?? ''}` : ''));
    return out.filter((words) => words !== '').join('\n');
  }

  /** @param {Drawn<R>} drawn */
  #write({ element, cells, texts, tones, row }) {
    const css = this.options.rowCss?.(row) ?? '';
    if (element.className !== css) element.className = css;
    for (const [index, { text, tone, css: fixed = '' }] of this.options.columns.entries()) {
      if (text !== undefined) {
        const words = text(row);
        if (texts[index] !== words) {
          cells[index].textContent = texts[index] = words;
          if (digitsWide(words) > this.#chars[index]) this.options.frames.request(this.#fit);
        }
      }
      if (tone !== undefined) {
        const name = tone(row);
        if (tones[index] !== name) {
          tones[index] = name;
          cells[index].className = `${fixed} ${name}`;
        }
      }
    }
  }

  /** @param {MouseEvent} event */
  #click(event) {
    if (!(event.target instanceof Element)) return;
    const drawn = this.#drawn.get(event.target.closest('tr')?.dataset.key ?? '');
    if (drawn === undefined) return;
    const button = event.target.closest('button');
    if (button === null) this.options.onPick?.(drawn.row);
    else this.options.onAction?.(button.dataset.action ?? '', drawn.row);
  }
}

/** @param {Column<any>[]} columns */
function headOf(columns) {
  const cells = columns.map(({ label, sort, css = '' }) => {
    const words = sort ? make('button', { type: 'button', class: 'sort' }, label) : label;
    const head = make('th', { role: 'columnheader', scope: 'col', class: css.includes('start') ? 'start' : '' }, words);
    if (sort) head.setAttribute('aria-sort', 'none');
    return head;
  });
  return make('thead', { role: 'rowgroup' }, make('tr', { role: 'row' }, ...cells));
}

/**
 * What cards are sorted with: they have no headers.
 * @param {Column<any>[]} columns
 * @param {string} name of the table
 */
function sorterOf(columns, name) {
  const select = make('select', { 'aria-label': `Sort ${name.toLowerCase()}` }, make('option', { value: '' }, 'Newest first'));
  for (const [index, { label, sort, isText = false }] of columns.entries()) {
    for (const isAscending of sort ? [isText, !isText] : []) {
      const way = isText ? (isAscending ? 'A to Z' : 'Z to A') : isAscending ? 'lowest first' : 'highest first';
      select.append(make('option', { value: `${index} ${isAscending}` }, `${label}, ${way}`));
    }
  }
  return {
    select,
    label: make('label', { class: 'sorter' }, 'Sort ', select),
    get sort() {
      const [column, isAscending] = select.value.split(' ');
      return select.value === '' ? null : { column: Number(column), isAscending: isAscending === 'true' };
    },
    set sort(sort) {
      select.value = sort === null ? '' : `${sort.column} ${sort.isAscending}`;
    },
  };
}

/**
 * What stands for the rows that do not exist.
 */
function gap() {
  const cell = make('td', { role: 'presentation' });
  const row = make('tr', { class: 'gap', role: 'presentation' }, cell);
  return { row, cell, setHeight: (/** @type {number} */ height) => cell.style.setProperty('--gap-height', `${height}px`) };
}
