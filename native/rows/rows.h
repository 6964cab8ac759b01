/* What the parts of dqlite_dbapi._rows share. */
#ifndef DQLITE_DBAPI_ROWS_H
#define DQLITE_DBAPI_ROWS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>

#pragma GCC visibility push(hidden)

enum {
	INTEGER = 1,
	FLOAT = 2,
	TEXT = 3,
	BLOB = 4,
	NULL_VALUE = 5,
	UNIXTIME = 9,
	ISO8601 = 10,
	BOOLEAN = 11
};

enum { ROWS = 7 };

static const uint64_t DONE = UINT64_MAX;
static const uint64_t PART = UINT64_C(0xeeeeeeeeeeeeeeee);

static inline uint64_t word_at(const unsigned char *p)
{
	uint64_t value = 0;
	for (int byte = 7; byte >= 0; byte--) {
		value = value << 8 | p[byte];
	}
	return value;
}

/* From LARGE bytes on memory is worth advise(). */
enum { LARGE = 4 << 20 };

/* Have the system use large pages for large memory that is about to be filled: page faults would
 * cost more than the copying.
 */
void advise(char *memory, Py_ssize_t size);

/* New bytes, advised, to be filled before anybody sees them. */
PyObject *fresh(Py_ssize_t size);

/* Raise ValueError, and return NULL. */
PyObject *damaged(const char *what);

/* What decode_answer() returns for these bytes. */
PyObject *answer_in(const char *chunk, Py_ssize_t size);

PyObject *encode_params(PyObject *module, PyObject *const *args, Py_ssize_t given);
PyObject *encode_row(PyObject *module, PyObject *const *args, Py_ssize_t given);
PyObject *join_rows(PyObject *module, PyObject *const *args, Py_ssize_t given);
PyObject *encode_rows(PyObject *module, PyObject *args);
PyObject *ask(PyObject *module, PyObject *const *args, Py_ssize_t given);
PyObject *blank(PyObject *module, PyObject *size);
PyObject *enlarge(PyObject *module, PyObject *args);
PyObject *take_chunk(PyObject *module, PyObject *descriptor);
PyObject *exchange(PyObject *module, PyObject *const *args, Py_ssize_t given);

extern const char encode_params_doc[];
extern const char encode_row_doc[];
extern const char encode_rows_doc[];
extern const char join_rows_doc[];
extern const char ask_doc[];
extern const char blank_doc[];
extern const char enlarge_doc[];
extern const char take_doc[];
extern const char exchange_doc[];

#pragma GCC visibility pop

#endif
