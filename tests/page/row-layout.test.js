import assert from 'node:assert/strict';
import { test } from 'node:test';

import { layOut } from '../../exness_streams/web/js/row-layout.js';

const ACTIONS = { chars: 0, fixedPx: 148 };

test('columns get the room that their longest texts need, or rows become cards', () => {
  for (const room of [300, 390, 500, 712, 968, 1104, 1584, 3000]) {
    for (const digit of [6, 7.5, 8.4]) {
      for (const chars of [4, 8, 12, 16, 24]) {
        const cells = [...Array.from({ length: 10 }, () => ({ chars, fixedPx: 0 })), ACTIONS];
        const layout = layOut(cells, { room, digit, isNarrow: false });
        if (!layout.isCards) {
          assert.ok(layout.widths.reduce((sum, width) => sum + width, 0) <= room);
          assert.ok(layout.widths.every((width, index) => width > cells[index].chars * digit + cells[index].fixedPx));
          continue;
        }
        const cell = (room - 28 - (layout.perLine - 1) * 10) / layout.perLine;
        assert.ok(layout.perLine === 1 || cell >= chars * digit, 'a card cuts its figures');
        assert.ok(layout.perLine === 1 || layout.actionsSpan * (cell + 10) - 10 >= Math.min(148, cell * layout.perLine), 'the buttons do not fit');
        assert.ok(layout.rowHeight >= Math.ceil((10 + layout.actionsSpan) / layout.perLine) * 40);
      }
    }
  }
});

test('a narrow page has cards, whatever fits', () => {
  assert.equal(layOut([{ chars: 3, fixedPx: 0 }], { room: 900, digit: 7, isNarrow: true }).isCards, true);
});

test('without buttons there is no line for them', () => {
  for (const texts of [1, 6, 7, 9]) {
    for (const room of [300, 390, 600, 990]) {
      const layout = layOut(Array.from({ length: texts }, () => ({ chars: 12, fixedPx: 0 })), { room, digit: 7.5, isNarrow: true });
      assert.ok(layout.isCards);
      assert.equal(layout.rowHeight, Math.ceil(texts / layout.perLine) * 40 + 12);
    }
  }
});

test('the less important columns are left out first, until the others fit', () => {
  const ranks = [0, 3, 7, 2, 4, 1, 5, 6, 0, 0, 0];
  const cells = ranks.map((rank, index) => (index === 10 ? { ...ACTIONS, rank } : { chars: 9, fixedPx: 0, rank }));
  let before = -1;
  for (let room = 200; room < 1400; room += 7) {
    const layout = layOut(cells, { room, digit: 7, isNarrow: false });
    if (layout.isCards) {
      assert.equal(before, -1, 'cards although there was room for less');
      continue;
    }
    const { widths, isShown } = layout;
    const out = ranks.filter((_, index) => !isShown[index]);
    const kept = ranks.filter((_, index) => isShown[index]);
    assert.ok(out.every((rank) => rank > 0 && rank >= Math.max(...kept)), `${room}: ${out} left out, ${kept} kept`);
    assert.ok(widths.reduce((sum, width, index) => sum + (isShown[index] ? width : 0), 0) <= room);
    assert.ok(before === -1 || out.length <= before, 'less is shown with more room');
    before = out.length;
  }
  assert.equal(before, 0);
});
