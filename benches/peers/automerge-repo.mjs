// automerge-repo: `automerge-repo.mjs STEP …`, with the packages in the folder PACKAGES.
//
//   server STORE PORT        keeps documents for others, and answers whether it has versions of them
//   keep STORE NOTES         takes a folder of notes in, a document each
//   edit STORE NOTES PORT    takes in those that changed since, and waits until the server has them
//   clone STORE PORT IDS     fetches every document, and has all of them on disk
//   titles STORE             prints the title of each, as a process does that has just begun
import { createRequire } from "node:module";
import { createServer, request } from "node:http";
import { existsSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const require = createRequire(join(process.env.PACKAGES, "package.json"));
const load = async (name) => import(pathToFileURL(require.resolve(name)));
const { Repo, updateText } = await load("@automerge/automerge-repo");
const { NodeFSStorageAdapter } = await load("@automerge/automerge-repo-storage-nodefs");
const network = await load("@automerge/automerge-repo-network-websocket");

const [step, store, ...rest] = process.argv.slice(2);
const storage = new NodeFSStorageAdapter(store);
const index = `${store}.json`;
const known = () => (existsSync(index) ? JSON.parse(readFileSync(index, "utf8")) : {});
const open = (port) =>
  new Repo({
    storage,
    network: port ? [new network.WebSocketClientAdapter(`ws://127.0.0.1:${port}`)] : [],
  });

/** Asks the server until it has these versions. */
async function delivered(port, versions) {
  const body = JSON.stringify(versions);
  for (;;) {
    const begun = Date.now();
    const answer = await new Promise((resolve, reject) => {
      const asked = request({ port, method: "POST" }, (response) => {
        let text = "";
        response.on("data", (data) => (text += data)).on("end", () => resolve(text));
      });
      asked.on("error", reject).end(body);
    });
    if (answer === "all") return;
    // Asking takes the server's time, too: no more than half of it.
    await new Promise((resolve) => setTimeout(resolve, Math.max(20, Date.now() - begun)));
  }
}

/** Makes a document of each note that is new, or another text of one that changed. */
async function take(repo, folder) {
  const notes = known();
  const versions = {};
  for (const name of readdirSync(folder).filter((name) => name.endsWith(".md"))) {
    const body = readFileSync(join(folder, name), "utf8");
    const before = notes[name];
    if (before?.length === body.length) continue;
    let handle;
    if (before) {
      handle = await repo.find(before.id);
      handle.change((doc) => updateText(doc, ["body"], body));
    } else {
      handle = repo.create({ title: name, body });
    }
    notes[name] = { id: handle.documentId, length: body.length };
    versions[handle.documentId] = handle.heads();
  }
  await repo.flush();
  writeFileSync(index, JSON.stringify(notes));
  return versions;
}

if (step === "server") {
  const { WebSocketServer } = require("isomorphic-ws");
  const { WebSocketServerAdapter } = network;
  let repo;
  const server = createServer(async (asked, response) => {
    let text = "";
    for await (const data of asked) text += data;
    for (const [id, heads] of Object.entries(JSON.parse(text))) {
      const handle = repo.handles[id];
      const has = handle?.isReady() && heads.every((head) => handle.heads().includes(head));
      if (!has) return response.end("some");
    }
    await repo.flush();
    response.end("all");
  });
  const adapter = new WebSocketServerAdapter(new WebSocketServer({ server }));
  repo = new Repo({ storage, network: [adapter], sharePolicy: async () => false });
  server.listen(Number(rest[0]), "127.0.0.1", () => console.log("ready"));
} else if (step === "keep") {
  await take(open(), rest[0]);
  process.exit();
} else if (step === "edit") {
  const repo = open(rest[1]);
  await delivered(rest[1], await take(repo, rest[0]));
  process.exit();
} else if (step === "clone") {
  const repo = open(rest[0]);
  const notes = JSON.parse(readFileSync(rest[1], "utf8"));
  await Promise.all(Object.values(notes).map(({ id }) => repo.find(id)));
  await repo.flush();
  process.exit();
} else if (step === "titles") {
  const repo = open();
  const found = await Promise.all(Object.values(known()).map(({ id }) => repo.find(id)));
  for (const handle of found) console.log(handle.doc().title);
  process.exit();
}
