/* A stand-in for libnvidia-ml on machines without a GPU: it answers the calls that the agent makes, through the real
 * pynvml, out of a table that a test fills in. Layouts, versions and return codes are those of nvml.h; which call is
 * refused where (utilization on MIG, empty MIG slots) is what NVIDIA documents. It is no model of a GPU.
 *
 * A value is found by name and device: GPU n is n, its MIG device in slot s is 100 * (n + 1) + s, and EVERY is all.
 * "return:FUNCTION" makes a function fail with that code.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SUCCESS = 0, UNINITIALIZED = 1, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, INSUFFICIENT_SIZE = 7,
       TIMEOUT = 10, VERSION_MISMATCH = 25 };
enum { EVERY = -1, MOST = 4096, GPUS = 16, SLOTS = 7, PARTS = 100 };
typedef long long value_t;
typedef struct { int key; } device_t;
typedef struct { char name[64]; int key; value_t value; } entry_t;

static entry_t values[MOST], calls[MOST];
static int value_count, call_count, depth, samples, sets;
static device_t devices[GPUS * (SLOTS + 1)];
static struct { int key; unsigned xid, instance; unsigned long long type; } events[256];
static int event_first, event_last;
static long long serial;

static entry_t *find(entry_t *table, int *count, const char *name, int key, int add) {
    for (int i = 0; i < *count; i++)
        if (table[i].key == key && !strcmp(table[i].name, name)) return &table[i];
    if (!add || *count == MOST) return NULL;
    entry_t *entry = &table[(*count)++];
    snprintf(entry->name, sizeof entry->name, "%s", name);
    entry->key = key;
    entry->value = 0;
    return entry;
}

/* ---- what a test calls ---- */
void standin_reset(void) {
    value_count = call_count = depth = samples = sets = event_first = event_last = 0;
}
void standin_set(const char *name, int key, value_t value) { find(values, &value_count, name, key, 1)->value = value; }
value_t standin_calls(const char *name, int key) {
    entry_t *entry = find(calls, &call_count, name, key, 0);
    return entry ? entry->value : 0;
}
value_t standin_seen(const char *name, int key) {
    entry_t *entry = find(values, &value_count, name, key, 0);
    return entry ? entry->value : -1;
}
void standin_event(int key, unsigned xid, unsigned instance, unsigned long long type) {
    events[event_last % 256].key = key;
    events[event_last % 256].xid = xid;
    events[event_last % 256].type = type;
    events[event_last++ % 256].instance = instance;
}
int standin_depth(void) { return depth; }
int standin_samples(void) { return samples; }
int standin_sets(void) { return sets; }

/* ---- the table ---- */
static int has(const char *name, int key, value_t *value) {
    entry_t *entry = find(values, &value_count, name, key, 0);
    if (!entry) entry = find(values, &value_count, name, EVERY, 0);
    if (entry) *value = entry->value;
    return entry != NULL;
}
static value_t get(const char *name, int key, value_t fallback) {
    value_t value = fallback;
    has(name, key, &value);
    return value;
}
static int begin(const char *function, int key) {
    char name[64];
    entry_t *entry = find(calls, &call_count, function, key, 1);
    if (entry) entry->value++;
    snprintf(name, sizeof name, "return:%s", function);
    int code = (int)get(name, key, SUCCESS);
    return code ? code : depth ? SUCCESS : UNINITIALIZED;
}
#define BEGIN(device) \
    if (!(device)) return INVALID_ARGUMENT; \
    int key = (device)->key; \
    int is_mig = key >= PARTS; \
    int code = begin(__func__, key); \
    (void)is_mig; \
    if (code) return code
#define NUMBER(function, field, fallback) \
    int function(device_t *device, unsigned *out) { BEGIN(device); \
        if (is_mig) return NOT_SUPPORTED; \
        *out = (unsigned)get(field, key, fallback); return SUCCESS; }

static void read_script(void) {
    const char *path = getenv("STANDIN_NVML");
    FILE *file = path ? fopen(path, "r") : NULL;
    char name[64];
    int key;
    value_t value;
    if (!file) return;
    while (fscanf(file, "%63s %d %lld", name, &key, &value) == 3) standin_set(name, key, value);
    fclose(file);
}

/* ---- the library ---- */
int nvmlInitWithFlags(unsigned flags) {
    (void)flags;
    read_script();
    depth++;
    int code = begin(__func__, 0);
    if (code) depth--;
    return code;
}
int nvmlShutdown(void) {
    int code = begin(__func__, 0);
    if (!code) depth--;
    return code;
}
int nvmlSystemGetDriverVersion(char *out, unsigned length) {
    int code = begin(__func__, 0);
    if (!code) snprintf(out, length, "580.65.06");
    return code;
}
int nvmlDeviceGetCount_v2(unsigned *out) {
    int code = begin(__func__, 0);
    if (!code) *out = (unsigned)get("count", 0, 0);
    return code;
}
static device_t *at(int key) {
    int gpu = key >= PARTS ? key / PARTS - 1 : key, slot = key >= PARTS ? key % PARTS + 1 : 0;
    device_t *device = &devices[gpu * (SLOTS + 1) + slot];
    device->key = key;
    return device;
}
int nvmlDeviceGetHandleByIndex_v2(unsigned index, device_t **out) {
    int code = begin(__func__, (int)index);
    if (!code) *out = at((int)index);
    return code;
}
int nvmlDeviceGetUUID(device_t *device, char *out, unsigned length) {
    BEGIN(device);
    value_t made = get("uuid", key, 0);
    if (is_mig) snprintf(out, length, "MIG-%d-%d-%lld", key / PARTS - 1, key % PARTS, made);
    else snprintf(out, length, "GPU-%d", key);
    return SUCCESS;
}
int nvmlDeviceGetName(device_t *device, char *out, unsigned length) {
    BEGIN(device);
    snprintf(out, length, "NVIDIA H100 80GB HBM3%s", is_mig ? " MIG 1g.10gb" : "");
    return SUCCESS;
}
int nvmlDeviceGetPciInfo_v3(device_t *device, void *out) {
    struct { char legacy[16]; unsigned domain, bus, device, id, sub; char bus_id[32]; } *info = out;
    BEGIN(device);
    memset(info, 0, sizeof *info);
    snprintf(info->bus_id, sizeof info->bus_id, "00000000:%02X:00.0", 0x1B + key);
    return SUCCESS;
}
int nvmlDeviceGetVirtualizationMode(device_t *device, unsigned *out) {
    BEGIN(device);
    *out = (unsigned)get("virtualization", key, 0);
    return SUCCESS;
}

/* ---- MIG ---- */
int nvmlDeviceGetMigMode(device_t *device, unsigned *current, unsigned *pending) {
    BEGIN(device);
    *current = *pending = (unsigned)get("mig", key, 0);
    return SUCCESS;
}
int nvmlDeviceGetMaxMigDeviceCount(device_t *device, unsigned *out) {
    BEGIN(device);
    *out = SLOTS;
    return SUCCESS;
}
int nvmlDeviceGetMigDeviceHandleByIndex(device_t *device, unsigned index, device_t **out) {
    BEGIN(device);
    int part = PARTS * (key + 1) + (int)index;
    if (!get("exists", part, 0)) return NOT_FOUND;
    *out = at(part);
    return SUCCESS;
}
int nvmlDeviceGetGpuInstanceId(device_t *device, unsigned *out) {
    BEGIN(device);
    *out = (unsigned)(key % PARTS + 7);
    return is_mig ? SUCCESS : NOT_SUPPORTED;
}

/* ---- figures ---- */
int nvmlDeviceGetMemoryInfo_v2(device_t *device, void *out) {
    struct { unsigned version; unsigned long long total, reserved, free, used; } *memory = out;
    BEGIN(device);
    if (memory->version != (sizeof *memory | 2u << 24)) return VERSION_MISMATCH;
    memory->total = (unsigned long long)get("total", key, 80);
    memory->used = (unsigned long long)get("used", key, 10);
    memory->reserved = (unsigned long long)get("reserved", key, 1);
    memory->free = memory->total - memory->used - memory->reserved;
    return SUCCESS;
}
int nvmlDeviceGetMemoryInfo(device_t *device, void *out) {
    struct { unsigned long long total, free, used; } *memory = out;
    BEGIN(device);
    memory->total = (unsigned long long)get("total", key, 80);
    memory->used = (unsigned long long)(get("used", key, 10) + get("reserved", key, 1));
    memory->free = memory->total - memory->used;
    return SUCCESS;
}
int nvmlDeviceGetUtilizationRates(device_t *device, unsigned *out) {
    BEGIN(device);
    if (is_mig || get("mig", key, 0)) return NOT_SUPPORTED;
    out[0] = (unsigned)get("gpu", key, 40);
    out[1] = (unsigned)get("memory", key, 20);
    return SUCCESS;
}
int nvmlDeviceGetClockInfo(device_t *device, unsigned type, unsigned *out) {
    BEGIN(device);
    if (is_mig) return NOT_SUPPORTED;
    *out = (unsigned)(type == 1 ? get("sm_clock", key, 1980) : type == 2 ? get("memory_clock", key, 2619) : 0);
    return SUCCESS;
}
static int reasons(device_t *device, const char *function, unsigned long long *out) {
    int code = begin(function, device->key);
    if (!code) *out = (unsigned long long)get("clock_events", device->key, 0);
    return code;
}
int nvmlDeviceGetCurrentClocksEventReasons(device_t *d, unsigned long long *out) { return reasons(d, __func__, out); }
int nvmlDeviceGetCurrentClocksThrottleReasons(device_t *d, unsigned long long *out) { return reasons(d, __func__, out); }
int nvmlDeviceGetTemperatureV(device_t *device, void *out) {
    struct { unsigned version, sensor; int celsius; } *temperature = out;
    BEGIN(device);
    if (temperature->version != (sizeof *temperature | 1u << 24)) return VERSION_MISMATCH;
    temperature->celsius = (int)get("temperature", key, 50);
    return SUCCESS;
}
int nvmlDeviceGetTemperature(device_t *device, unsigned sensor, unsigned *out) {
    BEGIN(device);
    (void)sensor;
    *out = (unsigned)get("temperature", key, 50);
    return SUCCESS;
}
NUMBER(nvmlDeviceGetEnforcedPowerLimit, "power_limit", 700000)
NUMBER(nvmlDeviceGetPowerUsage, "power", 300000)
NUMBER(nvmlDeviceGetCurrPcieLinkGeneration, "generation", 5)
NUMBER(nvmlDeviceGetCurrPcieLinkWidth, "width", 16)
NUMBER(nvmlDeviceGetMaxPcieLinkGeneration, "generation_max", 5)
NUMBER(nvmlDeviceGetMaxPcieLinkWidth, "width_max", 16)

int nvmlDeviceGetComputeRunningProcesses_v3(device_t *device, unsigned *count, void *out) {
    struct { unsigned pid; unsigned long long memory; unsigned instance, compute; } *process = out;
    BEGIN(device);
    unsigned there = (unsigned)get("processes", key, 0), room = *count;
    *count = there;
    if (!there) return SUCCESS;
    if (room < there || !out) return INSUFFICIENT_SIZE;
    for (unsigned i = 0; i < there; i++) {
        process[i].pid = 1000 + i;
        process[i].memory = (unsigned long long)get("process_memory", key, 5);
        process[i].instance = process[i].compute = ~0u;
    }
    return SUCCESS;
}

/* A field is supported if the table has "field:ID"; "field_code:ID" makes it alone fail. */
int nvmlDeviceGetFieldValues(device_t *device, int count, void *out) {
    struct { unsigned id, scope; long long time, latency; unsigned type, code; union { double d; unsigned u;
             unsigned long long ull; } value; } *field = out;
    BEGIN(device);
    if (is_mig) return NOT_SUPPORTED;
    for (int i = 0; i < count; i++) {
        char name[64];
        value_t value;
        snprintf(name, sizeof name, "field:%u", field[i].id);
        begin(name, key);
        field[i].code = has(name, key, &value) ? SUCCESS : NOT_SUPPORTED;
        snprintf(name, sizeof name, "field_code:%u", field[i].id);
        field[i].code = (unsigned)get(name, key, field[i].code);
        snprintf(name, sizeof name, "field_type:%u", field[i].id);
        field[i].type = (unsigned)get(name, key, 3);
        snprintf(name, sizeof name, "field_scope:%u", field[i].id);
        standin_set(name, key, field[i].scope);
        snprintf(name, sizeof name, "field_latency:%u", field[i].id);
        field[i].latency = get(name, key, 0);
        if (field[i].code != SUCCESS) continue;
        if (field[i].type == 0) field[i].value.d = (double)value;
        else if (field[i].type == 1) field[i].value.u = (unsigned)value;
        else field[i].value.ull = (unsigned long long)value;
    }
    return SUCCESS;
}

/* ---- events ---- */
int nvmlEventSetCreate(void **set) {
    int code = begin(__func__, 0);
    if (!code) { *set = events; sets++; }
    return code;
}
int nvmlEventSetFree(void *set) {
    (void)set;
    int code = begin(__func__, 0);
    if (!code) sets--;
    return code;
}
int nvmlDeviceRegisterEvents(device_t *device, unsigned long long types, void *set) {
    BEGIN(device);
    (void)set;
    return is_mig || types != 8 ? INVALID_ARGUMENT : SUCCESS;
}
int nvmlEventSetWait_v2(void *set, void *out, unsigned timeout) {
    struct { device_t *device; unsigned long long type, data; unsigned instance, compute; } *event = out;
    (void)set;
    int code = begin(__func__, 0);
    if (code) return code;
    /* A call that may wait would hold up the samples. */
    if (timeout) return INVALID_ARGUMENT;
    if (event_first == event_last) return TIMEOUT;
    int i = event_first++ % 256;
    event->device = at(events[i].key);
    event->type = events[i].type;
    event->data = events[i].xid;
    event->instance = event->compute = events[i].instance;
    return SUCCESS;
}

/* ---- GPM ---- */
typedef struct { int key, instance; long long serial; } sample_t;
int nvmlGpmQueryDeviceSupport(device_t *device, unsigned *support) {
    BEGIN(device);
    if (support[0] != 1) return VERSION_MISMATCH;
    support[1] = (unsigned)get("gpm", key, 0);
    return SUCCESS;
}
int nvmlGpmSampleAlloc(sample_t **out) {
    int code = begin(__func__, 0);
    if (code) return code;
    *out = calloc(1, sizeof **out);
    samples++;
    return SUCCESS;
}
int nvmlGpmSampleFree(sample_t *sample) {
    int code = begin(__func__, 0);
    if (code) return code;
    free(sample);
    samples--;
    return SUCCESS;
}
int nvmlGpmSampleGet(device_t *device, sample_t *sample) {
    BEGIN(device);
    *sample = (sample_t){key, -1, ++serial};
    return SUCCESS;
}
int nvmlGpmMigSampleGet(device_t *device, unsigned instance, sample_t *sample) {
    BEGIN(device);
    if (is_mig) return INVALID_ARGUMENT;
    *sample = (sample_t){key, (int)instance, ++serial};
    return SUCCESS;
}
/* Values are in thousandths; "gpm:ID" of a MIG device belongs to GPU n and instance i, as key 100 * (n + 1) + i - 7. */
int nvmlGpmMetricsGet(void *out) {
    struct { unsigned version, count; sample_t *first, *second;
             struct { unsigned id, code; double value; const char *names[3]; } metrics[1]; } *get_metrics = out;
    int code = begin(__func__, 0);
    if (code) return code;
    if (get_metrics->version != 1) return VERSION_MISMATCH;
    sample_t *first = get_metrics->first, *second = get_metrics->second;
    if (!first || !second || first->key != second->key || first->instance != second->instance ||
        first->serial >= second->serial)
        return INVALID_ARGUMENT;
    int key = first->instance < 0 ? first->key : PARTS * (first->key + 1) + first->instance - 7;
    for (unsigned i = 0; i < get_metrics->count; i++) {
        char name[64];
        value_t value = 0;
        snprintf(name, sizeof name, "gpm:%u", get_metrics->metrics[i].id);
        get_metrics->metrics[i].code = has(name, key, &value) ? SUCCESS : NOT_SUPPORTED;
        get_metrics->metrics[i].value = value == -1 ? 0.0 / 0.0 : (double)value / 1000;
    }
    return SUCCESS;
}
