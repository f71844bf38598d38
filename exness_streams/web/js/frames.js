/**
 * One render per animation frame, however many messages came since the last one.
 */

/** A hidden page has no animation frames, yet its title still shows the price. */
const HIDDEN_INTERVAL_MS = 1000;

export class Frames {
  /** @type {Set<() => void>} */
  #jobs = new Set();
  #isRequested = false;

  /**
   * Run a job once in the next frame.
   * @param {() => void} job
   */
  request(job) {
    this.#jobs.add(job);
    if (this.#isRequested) return;
    this.#isRequested = true;
    if (document.hidden) setTimeout(this.#run, HIDDEN_INTERVAL_MS);
    else this.#nextFrame();
  }

  #nextFrame() {
    // A page that is hidden while a frame is awaited would wait for it until it is shown again.
    const late = setTimeout(() => {
      cancelAnimationFrame(frame);
      this.#run();
    }, HIDDEN_INTERVAL_MS);
    const frame = requestAnimationFrame(() => {
      clearTimeout(late);
      this.#run();
    });
  }

  #run = () => {
    const jobs = [...this.#jobs];
    this.#jobs.clear();
    this.#isRequested = false;
    for (const job of jobs) {
      try {
        job();
      } catch (error) {
        reportError(error); // one panel that fails must not stop the others
      }
    }
  };
}
