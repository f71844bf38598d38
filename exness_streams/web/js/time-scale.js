/**
 * The chart's time scale in the zone that is shown. The library knows UTC alone: its marks of days would stand at 19:00
 * in New York.
 */

import { candleTime, tickText, weightOf } from './time-text.js';

/** @typedef {typeof import('lightweight-charts')} Library */
/** @typedef {{ timeWeight: number, originalTime: unknown }} Point */

/**
 * A chart whose times are in the zone that is shown.
 * @param {Library} library
 * @param {HTMLElement} host
 * @param {import('lightweight-charts').DeepPartial<import('lightweight-charts').TimeChartOptions>} options
 * @param {() => number} intervalOf seconds of the candles that are shown
 * @returns {import('lightweight-charts').IChartApi}
 */
export function createChart(library, host, options, intervalOf) {
  const { tickMarkFormatter, timeFormatter } = timeWords(intervalOf);
  const all = { ...options, timeScale: { ...options.timeScale, tickMarkFormatter }, localization: { ...options.localization, timeFormatter } };
  // What the library's own createChart() does, but for the scale.
  return /** @type {any} */ (library).createChartEx(host, timeScaleOf(library, intervalOf), all);
}

/**
 * @param {Library} library
 * @param {() => number} intervalOf seconds of the candles that are shown
 */
function timeScaleOf(library, intervalOf) {
  const Scale = library.defaultHorzScaleBehavior();
  return new (class extends Scale {
    /**
     * @param {any} points ascending
     * @param {number} first whose weight is not known
     */
    fillWeightsForPoints(points, first) {
      fillWeights(points, first, intervalOf());
    }
  })();
}

/**
 * @param {Point[]} points ascending
 * @param {number} first whose weight is not known
 * @param {number} interval seconds
 */
export function fillWeights(points, first, interval) {
  for (let index = first; index < points.length; index += 1) {
    const time = Number(points[index].originalTime);
    // Before the first candle there would have been another.
    const before = index > 0 ? Number(points[index - 1].originalTime) : time - interval;
    points[index].timeWeight = weightOf(time, before, interval);
  }
}

/**
 * What the scale and the crosshair say.
 * @param {() => number} intervalOf seconds of the candles that are shown
 */
function timeWords(intervalOf) {
  return {
    tickMarkFormatter: (/** @type {any} */ seconds, /** @type {number} */ kind) => tickText(seconds, kind, intervalOf()),
    timeFormatter: (/** @type {any} */ seconds) => candleTime(seconds, intervalOf()),
  };
}

/**
 * Mark the scale anew: another zone, or other candles. The library weighs times as they come, and keeps what it wrote.
 * @param {import('lightweight-charts').IChartApi} chart
 */
export function markAnew(chart) {
  const range = chart.timeScale().getVisibleLogicalRange();
  const all = chart.panes().flatMap((pane) => pane.getSeries()).map((series) => ({ series, data: [...series.data()] }));
  for (const { series } of all) series.setData([]);
  for (const { series, data } of all) series.setData(data);
  chart.timeScale().applyOptions({});
  if (range !== null) chart.timeScale().setVisibleLogicalRange(range);
}
