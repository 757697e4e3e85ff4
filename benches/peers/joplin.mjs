// Adds a sentence to notes of Joplin's, by the server of its command: `node joplin.mjs PORT TOKEN COUNT`, at most a
// hundred. With none, it only asks whether the server is there.
const [port, token, count] = process.argv.slice(2);
const ask = async (path, options) => {
  const answer = await fetch(`http://127.0.0.1:${port}/${path}token=${token}`, options);
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return answer.json();
};
const { items } = await ask(`notes?fields=id,body&limit=${Number(count) || 1}&`);
if (count === '0') process.exit();
if (items.length !== Number(count)) throw new Error(`${items.length} notes`);
for (const { id, body } of items) {
  await ask(`notes/${id}?`, { method: 'PUT', body: JSON.stringify({ body: `${body}One more sentence ${Math.random()}.\n` }) });
}
