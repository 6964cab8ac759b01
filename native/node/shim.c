/* Included at the top of the source that cffi generates.
 *
 * Every symbol that engine 1.11.1 lacks is declared weak, so that one binary loads on 1.11 to 1.18:
 * a missing function has the address 0, and Python asks shim_feature_present() before a call. The
 * prototypes repeat those of dqlite.h 1.18 to the letter, else newer headers would conflict.
 */
#include <dqlite.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WEAK __attribute__((weak))

extern const char *dqlite_version_string WEAK;
int dqlite_node_set_snapshot_params_v2(dqlite_node *n, unsigned threshold, unsigned trailing,
                                       int strategy) WEAK;
int dqlite_node_set_block_size(dqlite_node *n, size_t size) WEAK;
int dqlite_node_enable_disk_mode(dqlite_node *n) WEAK;
int dqlite_node_set_target_voters(dqlite_node *n, int voters) WEAK;
int dqlite_node_set_target_standbys(dqlite_node *n, int standbys) WEAK;
int dqlite_node_set_pool_thread_count(dqlite_node *n, unsigned thread_count) WEAK;
int dqlite_node_set_auto_recovery(dqlite_node *n, bool enabled) WEAK;
int dqlite_node_set_snapshot_compression(dqlite_node *n, bool enabled) WEAK;
int dqlite_node_enable_role_management(dqlite_node *n) WEAK;
int dqlite_node_set_busy_timeout(dqlite_node *n, unsigned msecs) WEAK;
int dqlite_node_handover(dqlite_node *n) WEAK;
int dqlite_node_describe_last_entry(dqlite_node *n, uint64_t *index, uint64_t *term) WEAK;

#define NODE_FEATURE(function) { #function, (void *)dqlite_node_##function }

static const struct {
	const char *name;
	void *symbol;
} features[] = {
	{ "version_string", (void *)&dqlite_version_string },
	NODE_FEATURE(set_snapshot_params_v2),
	NODE_FEATURE(set_block_size),
	NODE_FEATURE(enable_disk_mode),
	NODE_FEATURE(set_target_voters),
	NODE_FEATURE(set_target_standbys),
	NODE_FEATURE(set_pool_thread_count),
	NODE_FEATURE(set_auto_recovery),
	NODE_FEATURE(set_snapshot_compression),
	NODE_FEATURE(enable_role_management),
	NODE_FEATURE(set_busy_timeout),
	NODE_FEATURE(handover),
	NODE_FEATURE(describe_last_entry),
};

static int shim_feature_count(void)
{
	return (int)(sizeof features / sizeof features[0]);
}

static const char *shim_feature_name(int index)
{
	return features[index].name;
}

static int shim_feature_present(int index)
{
	return features[index].symbol != NULL;
}

/* Make the node the only member, a voter, of the cluster whose data its directory holds. */
static int shim_recover(dqlite_node *n, dqlite_node_id id, const char *address)
{
	struct dqlite_node_info_ext member = { 0 };
	member.size = sizeof member;
	member.id = id;
	member.address = (uint64_t)(uintptr_t)address;
	return dqlite_node_recover_ext(n, &member, 1);
}

static const char *shim_version_string(void)
{
	return &dqlite_version_string == NULL ? NULL : dqlite_version_string;
}
