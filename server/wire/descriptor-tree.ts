/** One node of the generated descriptor tree: a namespace, message, enum or service. */
export interface DescriptorNode {
  nested?: Record<string, DescriptorNode>;
  fields?: Record<string, FieldNode>;
  oneofs?: Record<string, { oneof: string[] }>;
  values?: Record<string, number>;
  methods?: Record<string, MethodNode>;
}

export interface FieldNode {
  type: string;
  id: number;
  rule?: 'repeated';
  keyType?: string;
  options?: Record<string, unknown>;
}

export interface MethodNode {
  requestType: string;
  responseType: string;
  parsedOptions?: Record<string, HttpRule>[];
}

export interface HttpRule {
  get?: string;
  post?: string;
  put?: string;
  delete?: string;
  body?: string;
  additional_bindings?: HttpRule | HttpRule[];
}
