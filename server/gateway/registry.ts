import { type PayloadName, payloadFields } from '../wire/envelope.ts';
import type { ApiMethod, Method, RealtimeMethod } from '../wire/method.ts';
import { allMethodTypes, type MethodType } from '../wire/types.ts';

/** An implemented API method with what proto/ says of it. */
export interface ApiEntry {
  readonly name: string;
  readonly type: MethodType;
  readonly method: ApiMethod;
}

/** Every implemented method, found by name. One registry for all doors. */
export class Registry {
  readonly #api = new Map<string, ApiEntry>();
  readonly #realtime = new Map<PayloadName, RealtimeMethod>();

  /** Throws for a method that proto/ does not know or that two features claim: programming errors. */
  constructor(methods: Iterable<Method>) {
    const types = new Map(allMethodTypes().map((type) => [type.name, type]));
    for (const method of methods) {
      if (method.kind === 'api') {
        const type = types.get(method.name);
        if (type === undefined) throw new Error(`method ${method.name} is not declared in proto/`);
        if (this.#api.has(method.name)) throw new Error(`method ${method.name} is implemented twice`);
        this.#api.set(method.name, { name: method.name, type, method });
      } else {
        if (!payloadFields.byName.has(method.name)) throw new Error(`Envelope has no field ${method.name}`);
        if (this.#realtime.has(method.name)) throw new Error(`message ${method.name} is implemented twice`);
        this.#realtime.set(method.name, method);
      }
    }
  }

  api(name: string): ApiEntry | undefined {
    return this.#api.get(name);
  }

  realtime(name: string): RealtimeMethod | undefined {
    return this.#realtime.get(name as PayloadName);
  }

  allApi(): Iterable<ApiEntry> {
    return this.#api.values();
  }
}
