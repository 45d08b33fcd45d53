"use strict";

// The clip's clock: that of the video or sound where it plays, else one of its own.
grjca.Player = class {
  #began = 0;
  #base = 0;
  #speed = 1;
  #running = false;
  #aim = null;

  /**
   * @param media The media element, or null.
   * @param start Seconds on the media's clock at which the clip begins.
   * @param first Time of the clip's first frame.
   * @param last The clip's end.
   * @param moved Called with the time whenever it changes, and whether it was sought.
   */
  constructor(media, { start, first, last, moved }) {
    Object.assign(this, { media, start, first, last, moved });
    this.#base = first;
    if (!media) return;
    for (const event of ["play", "pause", "seeked", "timeupdate", "loadedmetadata", "ended"]) {
      media.addEventListener(event, () => {
        if (event === "seeked") this.#aim = null;
        this.#tick();
      });
    }
    media.addEventListener("error", () => {
      const now = this.time;
      this.media = null;
      this.#base = now;
      this.moved(now);
    });
  }

  get time() {
    if (this.media) return this.#aim ?? this.media.currentTime - this.start;
    const passed = this.#running ? ((performance.now() - this.#began) / 1000) * this.#speed : 0;
    return Math.min(this.#base + passed, this.last);
  }

  get playing() {
    return this.media ? !this.media.paused && !this.media.ended : this.#running;
  }

  set speed(value) {
    this.#settle();
    this.#speed = value;
    if (this.media) this.media.playbackRate = value;
  }

  seek(time) {
    const aim = Math.min(Math.max(time, this.first), this.last);
    if (this.media) {
      // The element says where it was until it has arrived; the playhead shows where it goes.
      this.#aim = aim;
      this.media.currentTime = aim + this.start;
    } else {
      this.#settle();
      this.#base = aim;
    }
    this.moved(aim, true);
  }

  toggle() {
    if (this.playing) this.pause();
    else this.play();
  }

  play() {
    if (this.time >= this.last - 0.01) this.seek(this.first);
    if (this.media) {
      this.media.play().catch(() => this.moved(this.time));
      return;
    }
    this.#began = performance.now();
    this.#running = true;
    this.#tick();
  }

  pause() {
    this.#settle();
    this.#running = false;
    if (this.media) this.media.pause();
    this.moved(this.time);
  }

  #settle() {
    this.#base = this.media ? this.#base : this.time;
    this.#began = performance.now();
  }

  #frame = 0;

  #tick() {
    cancelAnimationFrame(this.#frame);
    const now = this.time;
    // A part of a recording, or a clock without one, ends where the clip does.
    if (this.playing && now >= this.last) {
      this.pause();
      return;
    }
    this.moved(now);
    if (this.playing) this.#frame = requestAnimationFrame(() => this.#tick());
  }
};
