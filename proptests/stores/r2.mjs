// Cloudflare's R2 simulator with its S3 endpoint, until it is told to end.
import { Miniflare, convertV4MiniflareOptions } from 'miniflare';

const { PORT, KEY, SECRET, BUCKET } = process.env;
const s3Credentials = { accessKeyId: KEY, secretAccessKey: SECRET };
const simulator = new Miniflare(convertV4MiniflareOptions({
  modules: true,
  script: 'export default { fetch() { return new Response("nothing but a bucket") } }',
  compatibilityDate: '2026-01-01',
  cf: false,
  host: '127.0.0.1',
  port: Number(PORT),
  r2Buckets: { NOTES: { id: BUCKET, s3Credentials } },
}));
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.on(signal, async () => {
    await simulator.dispose();
    process.exit(0);
  });
}
await simulator.ready;
console.log('ready');
