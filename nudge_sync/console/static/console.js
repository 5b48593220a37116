// Follows work in the background: draws its progress, and loads the page again when it ends.
"use strict";

function follow(section) {
  const bar = section.querySelector(".progress-bar");
  const text = section.querySelector(".progress-text");
  const source = new EventSource(`/jobs/${encodeURIComponent(section.dataset.job)}/events`);
  source.addEventListener("message", (event) => {
    const job = JSON.parse(event.data);
    if (job.state === "done" || job.state === "failed") {
      source.close();
      window.location.reload();
      return;
    }
    if (job.total > 0) {
      bar.max = job.total;
      bar.value = job.done;
    } else {
      bar.removeAttribute("value");
    }
    const count = job.done.toLocaleString("en");
    const amount = job.total > 0 ? `${count} of ${job.total.toLocaleString("en")}` : count;
    text.textContent = job.stage ? `${job.stage}: ${amount}` : job.state;
  });
}

document.querySelectorAll("[data-job]").forEach(follow);
