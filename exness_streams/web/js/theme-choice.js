/**
 * Which colours come next. Each click but the last of a round changes what is seen; the last one follows the system
 * again.
 */

/** @typedef {'system' | 'dark' | 'light'} Theme */

/**
 * @param {Theme} now
 * @param {boolean} isSystemDark
 * @returns {Theme}
 */
export function nextTheme(now, isSystemDark) {
  const [same, other] = isSystemDark ? /** @type {const} */ (['dark', 'light']) : /** @type {const} */ (['light', 'dark']);
  return now === 'system' ? other : now === other ? same : 'system';
}
