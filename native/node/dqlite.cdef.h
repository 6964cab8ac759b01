/* What the binding uses of dqlite.h 1.11 to 1.18; see shim.c for the functions that 1.11 lacks. */
typedef unsigned long long dqlite_node_id;
typedef struct dqlite_node dqlite_node;

#define DQLITE_ERROR ...
#define DQLITE_MISUSE ...
#define DQLITE_NOMEM ...

int dqlite_version_number(void);
dqlite_node_id dqlite_generate_node_id(const char *address);

int dqlite_node_create(dqlite_node_id id, const char *address, const char *data_dir,
                       dqlite_node **n);
void dqlite_node_destroy(dqlite_node *n);
const char *dqlite_node_errmsg(dqlite_node *n);
int dqlite_node_set_bind_address(dqlite_node *n, const char *address);
const char *dqlite_node_get_bind_address(dqlite_node *n);
int dqlite_node_set_connect_func(dqlite_node *n,
                                 int (*f)(void *arg, const char *address, int *fd), void *arg);
int dqlite_node_set_network_latency_ms(dqlite_node *n, unsigned milliseconds);
int dqlite_node_set_failure_domain(dqlite_node *n, unsigned long long code);
int dqlite_node_set_snapshot_params(dqlite_node *n, unsigned threshold, unsigned trailing);
int dqlite_node_start(dqlite_node *n);
int dqlite_node_stop(dqlite_node *n);

int dqlite_node_handover(dqlite_node *n);
int dqlite_node_set_auto_recovery(dqlite_node *n, bool enabled);
int dqlite_node_set_snapshot_params_v2(dqlite_node *n, unsigned threshold, unsigned trailing,
                                       int strategy);
int dqlite_node_set_snapshot_compression(dqlite_node *n, bool enabled);
int dqlite_node_set_block_size(dqlite_node *n, size_t size);
int dqlite_node_set_busy_timeout(dqlite_node *n, unsigned msecs);
int dqlite_node_set_pool_thread_count(dqlite_node *n, unsigned thread_count);

int dqlite_node_describe_last_entry(dqlite_node *n, uint64_t *index, uint64_t *term);
int shim_recover(dqlite_node *n, dqlite_node_id id, const char *address);

int shim_feature_count(void);
const char *shim_feature_name(int index);
int shim_feature_present(int index);
const char *shim_version_string(void);

extern "Python" int shim_connect(void *arg, const char *address, int *fd);
