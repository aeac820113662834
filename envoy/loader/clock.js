// Ticks. The timers of a page in the background are slowed down, those of its workers are not.

let timer;

onmessage = ({ data: seconds }) => {
  clearInterval(timer);
  timer = setInterval(() => postMessage(null), seconds * 1000);
};
