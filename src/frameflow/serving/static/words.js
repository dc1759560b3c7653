// What went wrong, in words, and what helps.

import { bytes, lasting } from "./util.js";

const KNOWN = {
  0: ["The server does not answer", "The network is gone, or the server was stopped. Nothing here is lost: try again when it is back."],
  401: ["The server wants its token", "Whoever started the server has it. It is kept until this tab is closed."],
  404: ["The server no longer has this video", "Videos are deleted a while after their last use, and when the server starts again."],
  413: ["This video is too large", "Cut it, or make it smaller: ffmpeg -i IN -vf scale=-2:480 OUT.mp4"],
  415: ["This is not a video", "Choose a video file: MP4, AVI, MKV, MOV or WebM, for example."],
  422: ["This video cannot be read", "Play it elsewhere to see whether it is whole, or write it anew: ffmpeg -i IN OUT.mp4"],
  429: ["The server is busy", "Others are served first. Try again in a moment."],
  500: ["The server failed", "This is a fault of the server, not of the video. Its log says more."],
  503: ["The model is not ready", "The server is starting, or the model's folder is gone. Try again in a moment."],
  507: ["The server's disk is full", "Nothing can be sent until there is room. Tell whoever runs the server."],
};

const GONE = {
  unknown_job: ["The server no longer has this timeline", "Timelines are deleted a while after their last use."],
  unknown_model: ["The server no longer has this model", "Load the page anew to see which it has."],
};

/** `{ title, text, action }`; action: what a button does about it, or null. */
export function explained(error) {
  const status = error?.status ?? -1;
  const [title, cure] = GONE[error?.code] ?? KNOWN[status] ?? ["Something went wrong", ""];
  // The server knows more than its status: its sentence first, then the cure.
  const said = status > 0 || status === -1 ? (error?.message ?? "") : "";
  const plain = /^The server answered \d+\.$/.test(said) ? "" : said;
  const text = [plain, error?.cure || cure].filter(Boolean).join(" ");
  return { title, text, action: error?.code === "unknown_job" ? "Make it again" : actionFor(status) };
}

function actionFor(status) {
  if (status === 404) return "Send it again";
  if ([413, 415].includes(status)) return null;
  return "Try again";
}

/** Why a file need not be sent at all, or null; the server checks again. */
export function refused(file, limits) {
  if (file.size === 0) return { status: 415, message: "The file is empty.", cure: "" };
  if (limits?.bytes && file.size > limits.bytes) {
    return {
      status: 413,
      message: `${bytes(file.size)} is more than the ${bytes(limits.bytes)} that this server takes.`,
      cure: "",
    };
  }
  return null;
}

/** "Up to 500 MB and 1 h 0 min." */
export function limitsInWords(limits) {
  const parts = [];
  if (limits?.bytes) parts.push(bytes(limits.bytes));
  if (limits?.seconds) parts.push(lasting(limits.seconds));
  return parts.length ? `Up to ${parts.join(" and ")}. ` : "";
}

const METRICS = { top1: "top-1 accuracy", top_1: "top-1 accuracy", map: "mean average precision", mAP: "mean average precision" };

/** "top-1 accuracy 40 % (95 % interval 31 to 49 %), on 83 test clips": as text. */
export function scoreInWords(score) {
  if (!score) return "No score: the run has not been evaluated on a test split.";
  const share = (value) => `${(value * 100).toFixed(0)}`;
  let text = `${METRICS[score.metric] ?? score.metric} ${share(score.value)} %`;
  const low = score.low, high = score.high;
  text += Number.isFinite(low) && Number.isFinite(high)
    ? ` (95 % interval ${share(low)} to ${share(high)} %)` : " (no interval)";
  return score.note ? `${text}, measured on ${score.note}` : text;
}
