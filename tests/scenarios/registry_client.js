// The npm package `consul` against our registry, for test_registry_clients.py:
//     node registry_client.js FOLDER-WITH-node_modules PORT
// Ends with 0 if everything is as a Consul answers it.
'use strict';
const assert = require('node:assert/strict');
const { createRequire } = require('node:module');

const [folder, port] = process.argv.slice(2);
const Consul = createRequire(`${folder}/`)('consul');
const consul = new Consul({ host: '127.0.0.1', port });

async function refused(promise, status) {
    await assert.rejects(promise, (error) => error.statusCode === status);
}

async function services() {
    await consul.agent.service.register({ id: 'api-1', name: 'api', address: '127.0.0.1', port: 8081, tags: ['v1'], check: { ttl: '60s' } });
    assert.deepEqual(await consul.health.service({ service: 'api', passing: true }), []);
    await consul.agent.check.pass('service:api-1');
    const [entry] = await consul.health.service({ service: 'api', passing: true });
    assert.deepEqual([entry.Service.ID, entry.Service.Tags], ['api-1', ['v1']]);
    assert.ok('api-1' in await consul.agent.service.list());
    assert.deepEqual((await consul.catalog.service.list()).api, ['v1']);
    assert.equal((await consul.catalog.service.nodes('api'))[0].ServicePort, 8081);
    assert.ok((await consul.catalog.node.list()).length === 1);
    assert.ok((await consul.status.leader()).length > 0);
    await consul.agent.service.maintenance({ id: 'api-1', enable: true });
    assert.deepEqual(await consul.health.service({ service: 'api', passing: true }), []);
    await consul.agent.service.deregister('api-1');
    assert.deepEqual(await consul.health.service('api'), []);
}

async function keys() {
    assert.equal(await consul.kv.set({ key: 'a/b', value: 'x', flags: 7 }), true);
    const row = await consul.kv.get('a/b');
    assert.deepEqual([row.Value, row.Flags], ['x', 7]);
    assert.ok(!await consul.kv.set({ key: 'a/b', value: 'y', cas: '0' }));  // the package says undefined where the answer is false
    assert.equal(await consul.kv.set({ key: 'a/b', value: 'y', cas: row.ModifyIndex }), true);
    assert.deepEqual(await consul.kv.keys({ key: 'a/', separator: '/' }), ['a/b']);
    assert.equal((await consul.kv.get({ key: 'a/', recurse: true })).length, 1);
    assert.equal(await consul.kv.get('nothing'), undefined);
    assert.equal(await consul.kv.del({ key: 'a', recurse: true }), true);
}

async function sessions() {
    const { ID: one } = await consul.session.create({ name: 'one', ttl: '10s', lockdelay: '1ms', behavior: 'delete' });
    const { ID: two } = await consul.session.create();
    assert.equal((await consul.session.list()).length, 2);
    assert.equal((await consul.session.get(one)).Name, 'one');
    assert.equal((await consul.session.renew(one))[0].TTL, '10s');
    assert.equal(await consul.kv.set({ key: 'lock', value: '1', acquire: one }), true);
    assert.ok(!await consul.kv.set({ key: 'lock', value: '2', acquire: two }));
    const watched = watch('lock');
    await watched.first;
    await consul.session.destroy(one);
    assert.equal(await watched.gone, undefined);
    await refused(consul.session.renew(one), 404);
    await refused(consul.session.create({ ttl: '1s' }), 500);
}

// What a watch on a key says first, and that the key is gone.
function watch(key) {
    const watcher = consul.watch({ method: consul.kv.get, options: { key, wait: '60s' } });
    const out = {};
    out.first = new Promise((resolve, reject) => {
        out.gone = new Promise((resolveGone) => {
            watcher.on('change', (row) => {
                if (row !== undefined) return resolve(row);
                watcher.end();
                resolveGone(row);
            });
        });
        watcher.on('error', reject);
    });
    return out;
}

async function transactions() {
    const value = Buffer.from('v').toString('base64');
    const done = await consul.transaction.create([
        { KV: { Verb: 'set', Key: 't/1', Value: value } },
        { KV: { Verb: 'set', Key: 't/2', Value: value } },
        { KV: { Verb: 'get-tree', Key: 't/' } },
    ]);
    assert.equal(done.Errors, null);
    assert.deepEqual(done.Results.map((result) => result.KV.Key), ['t/1', 't/2', 't/1', 't/2']);
    await refused(consul.transaction.create([
        { KV: { Verb: 'delete', Key: 't/1' } },
        { KV: { Verb: 'check-not-exists', Key: 't/2' } },
    ]), 409);
    assert.equal((await consul.kv.get('t/1')).Value, 'v');
}

async function events() {
    const fired = await consul.event.fire('deploy', 'payload');
    assert.equal(fired.Payload, 'payload');
    const list = await consul.event.list('deploy');
    assert.deepEqual(list.map((event) => [event.ID, event.Payload]), [[fired.ID, 'payload']]);
}

(async () => {
    for (const part of [services, keys, sessions, transactions, events]) {
        await part();
        console.log(`${part.name}: ok`);
    }
})().catch((error) => {
    console.error(error);
    process.exit(1);
});
