/* The product of all, and what Python calls. */
#include "kernel.h"

INLINE void multiply(const char *const rows[ROWS], const char *panel, Py_ssize_t steps, float *out, int bfloat16)
{
    __m512 sums[ROWS * VECTORS];
#pragma GCC unroll 16
    for (int i = 0; i < ROWS * VECTORS; i++) sums[i] = _mm512_setzero_ps();
    for (Py_ssize_t k = 0; k < steps; k++, panel += COLUMNS * 4) {
        __m512 weights[VECTORS];
#pragma GCC unroll 2
        for (int j = 0; j < VECTORS; j++) weights[j] = _mm512_loadu_ps(panel + j * LANES * 4);
#pragma GCC unroll 16
        for (int i = 0; i < ROWS * VECTORS; i++) {
            __m512 value = _mm512_set1_ps(*(const float *)(rows[i / VECTORS] + 4 * k));
            __m512 weight = weights[i % VECTORS];
            if (bfloat16)
                sums[i] = _mm512_dpbf16_ps(sums[i], (__m512bh)value, (__m512bh)weight);
            else
                sums[i] += value * weight;
        }
    }
#pragma GCC unroll 16
    for (int i = 0; i < ROWS * VECTORS; i++) _mm512_storeu_ps(out + i * LANES, sums[i]);
}

AVX512 void multiply_bfloat16(const char *const rows[ROWS], const char *panel, Py_ssize_t steps, float *out)
{
    multiply(rows, panel, steps, out, 1);
}

AVX512 void multiply_float32(const char *const rows[ROWS], const char *panel, Py_ssize_t steps, float *out)
{
    multiply(rows, panel, steps, out, 0);
}

static PyObject *run(void (*stage)(Work *), PyObject *arguments)
{
    unsigned long long address;
    Py_ssize_t threads;
    if (!PyArg_ParseTuple(arguments, "Kn", &address, &threads)) return NULL;
    Work *work = (Work *)(uintptr_t)address;
    work->started = work->next = 0;
    Py_BEGIN_ALLOW_THREADS
#pragma omp parallel num_threads((int)threads)
    stage(work);
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

static PyObject *call_respond(PyObject *self, PyObject *arguments) { return run(respond, arguments); }
static PyObject *call_share(PyObject *self, PyObject *arguments) { return run(share, arguments); }
static PyObject *call_weigh(PyObject *self, PyObject *arguments) { return run(weigh, arguments); }
static PyObject *call_pair(PyObject *self, PyObject *arguments) { return run(pair, arguments); }
static PyObject *call_gather(PyObject *self, PyObject *arguments) { return run(gather, arguments); }

static PyMethodDef methods[] = {
    {"respond", call_respond, METH_VARARGS, "respond(work, threads): by the address of a Work, as the others."},
    {"share", call_share, METH_VARARGS, "share(work, threads)"},
    {"weigh", call_weigh, METH_VARARGS, "weigh(work, threads)"},
    {"pair", call_pair, METH_VARARGS, "pair(work, threads)"},
    {"gather", call_gather, METH_VARARGS, "gather(work, threads)"},
    {NULL, NULL, 0, NULL},
};
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_kernel", NULL, -1, methods};

PyMODINIT_FUNC PyInit__kernel(void)
{
    PyObject *module = PyModule_Create(&definition);
    if (module == NULL || PyModule_AddIntMacro(module, ROWS) < 0 || PyModule_AddIntMacro(module, COLUMNS) < 0 ||
        PyModule_AddIntMacro(module, SLICE) < 0 || PyModule_AddIntConstant(module, "PAIR_BYTES", sizeof(Pair)) < 0 ||
        PyModule_AddIntConstant(module, "WORK_BYTES", sizeof(Work)) < 0) {
        Py_XDECREF(module);
        return NULL;
    }
    return module;
}
