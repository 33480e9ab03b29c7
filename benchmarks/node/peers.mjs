// Peers in Node: what teams write today with firebase-admin. Prints what one way cost as one line of JSON.
// node peers.mjs WAY HOST PROJECT CREATES

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const [, , way, host, project, creates] = process.argv;
process.env.FIRESTORE_EMULATOR_HOST = host;
const require = createRequire(`${process.env.NODE_PACKAGES}/`);
const { initializeApp } = require('firebase-admin/app');
const { FieldPath, FieldValue, getFirestore } = require('firebase-admin/firestore');

initializeApp({ projectId: project });
const database = getFirestore();
const users = database.collection('users');
const PAGE = 500;

function change(writer, user) {
  if (creates === 'creates') {
    const zeros = { totalInvoices: 0, totalRevenue: 0.5, averagePaymentTime: 0.5, createdAt: FieldValue.serverTimestamp() };
    return writer.create(database.collection('user_stats').doc(user.id), zeros);
  }
  user.data();
  return writer.update(user.ref, { tier: 'growth', visits: 0 });
}

const WAYS = {
  async loop() {
    const one = { create: (reference, data) => reference.create(data), update: (reference, data) => reference.update(data) };
    for await (const user of users.stream()) await change(one, user);
  },
  async pages() {
    const query = users.orderBy(FieldPath.documentId()).limit(PAGE);
    for (let page = await query.get(); !page.empty; page = await query.startAfter(page.docs.at(-1)).get()) {
      const batch = database.batch();
      page.forEach((user) => change(batch, user));
      await batch.commit();
    }
  },
  async bulk() {
    const writer = database.bulkWriter({ throttling: false });
    const failed = [];
    for await (const user of users.stream()) change(writer, user).catch((error) => failed.push(error));
    await writer.close();
    if (failed.length) throw failed[0];
  },
};

const began = process.hrtime.bigint();
const before = process.cpuUsage();
await WAYS[way]();
const seconds = Number(process.hrtime.bigint() - began) / 1e9;
const { user, system } = process.cpuUsage(before);
const peak = Number(/VmHWM:\s*(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))[1]) / 1024;
console.log(JSON.stringify({ phases: { pass: [seconds, (user + system) / 1e6] }, peak_mib: peak }));
process.exit(0);
