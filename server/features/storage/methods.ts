import { invalidArgument } from '../../platform/errors.ts';
import { nilUuid, parseUuid } from '../../platform/ids.ts';
import { isJsonObject } from '../../platform/json-object.ts';
import type { Database } from '../../store/database.ts';
import type { nakama } from '../../wire/generated/messages.js';
import { api, type Method } from '../../wire/method.ts';
import { listObjects } from './listing.ts';
import type { ObjectWrite, Storage } from './storage.ts';
import { toObject } from './wire.ts';

const defaultListLimit = 1;
const maxListLimit = 100;

export function storageMethods(storage: Storage, db: Database): Method[] {
  return [
    api('ReadStorageObjects', { auth: 'session' }, async ({ user }, request) => {
      const ids = request.object_ids.map(({ collection, key, user_id }) => {
        requireNames(collection, key);
        return { collection, key, ownerId: parseOwner(user_id) };
      });
      return { objects: (await storage.read({ userId: user.id }, ids)).map(toObject) };
    }),

    api('WriteStorageObjects', { auth: 'session' }, async ({ user }, request) => {
      const writes = request.objects.map((object) => toWrite(user.id, object));
      const acks = writes.length === 0 ? [] : await storage.write({ userId: user.id }, writes);
      return { acks: acks.map(({ ownerId, ...ack }) => ({ ...ack, user_id: ownerId })) };
    }),

    api('DeleteStorageObjects', { auth: 'session' }, async ({ user }, request) => {
      const deletes = request.object_ids.map(({ collection, key, version }) => {
        requireNames(collection, key);
        return { collection, key, version, ownerId: user.id };
      });
      await storage.delete({ userId: user.id }, deletes);
      return {};
    }),

    api('ListStorageObjects', { auth: 'session' }, async ({ user }, request) => {
      const limit = request.limit?.value ?? defaultListLimit;
      if (limit < 1 || limit > maxListLimit) {
        throw invalidArgument(`Invalid limit - limit must be between 1 and ${maxListLimit}.`);
      }
      const ownerId = request.user_id === '' ? undefined : parseUuid(request.user_id);
      if (ownerId === null) throw invalidUserId();
      const { collection, cursor } = request;
      const page = await listObjects(db, { userId: user.id }, { collection, ownerId, limit, cursor });
      return { objects: page.objects.map(toObject), cursor: page.cursor };
    }),
  ];
}

const invalidUserId = (): Error => invalidArgument('Invalid user ID - make sure user ID is a valid UUID.');

function requireNames(...names: string[]): void {
  if (names.includes('')) throw invalidArgument('Invalid collection or key value supplied. They must be set.');
}

/** No owner means the server's objects; naming the server is refused (spec: section 1.4). */
function parseOwner(text: string): string {
  if (text === '') return nilUuid;
  const id = parseUuid(text);
  if (id === null || id === nilUuid) throw invalidUserId();
  return id;
}

function toWrite(ownerId: string, object: nakama.api.WriteStorageObject): ObjectWrite {
  const { collection, key, value, version } = object;
  requireNames(collection, key, value);
  const permissionRead = object.permission_read?.value ?? 1;
  if (permissionRead < 0 || permissionRead > 2) {
    throw invalidArgument('Invalid Read permission supplied. It must be either 0, 1 or 2.');
  }
  const permissionWrite = object.permission_write?.value ?? 1;
  if (permissionWrite < 0 || permissionWrite > 1) {
    throw invalidArgument('Invalid Write permission supplied. It must be either 0 or 1.');
  }
  if (!isJsonObject(value)) throw invalidArgument('Value must be a JSON object.');
  return { collection, key, ownerId, value, version, permissionRead, permissionWrite };
}
