// Copy buttons. Without scripts they stay hidden; the clipboard needs no network, and a selection does where it is locked.
function select(code) {
  const range = document.createRange();
  range.selectNodeContents(code);
  const selection = getSelection();
  selection.removeAllRanges();
  selection.addRange(range);
}

async function copy(code) {
  try {
    await navigator.clipboard.writeText(code.textContent);
    return true;
  } catch {
    select(code);
    return document.execCommand("copy");
  }
}

for (const button of document.querySelectorAll(".code button")) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    const done = await copy(button.parentElement.querySelector("code"));
    button.textContent = done ? "Copied" : "Selected";
    document.getElementById("said").textContent = done ? "Copied" : "Selected, copy it with the keyboard";
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  });
}

// What is folded away would be missing on paper.
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((part) => { part.open = true; }));
