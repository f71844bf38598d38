// Before the first paint, so that a chosen theme does not flash. A classic script: modules run too late for that.
(() => {
  const chosen = localStorage.getItem('theme');
  if (chosen === 'dark' || chosen === 'light') document.documentElement.dataset.theme = chosen;
})();
