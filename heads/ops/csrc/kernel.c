/* The matrix product that all stages use, and the functions that Python calls. */
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

static PyObject *call_filter_responses(PyObject *self, PyObject *arguments) { return run(filter_responses, arguments); }
static PyObject *call_pool_responses(PyObject *self, PyObject *arguments) { return run(pool_responses, arguments); }
static PyObject *call_response_grads(PyObject *self, PyObject *arguments) { return run(response_grads, arguments); }
static PyObject *call_weight_grad(PyObject *self, PyObject *arguments) { return run(weight_grad, arguments); }
static PyObject *call_pair_max_frames(PyObject *self, PyObject *arguments) { return run(pair_max_frames, arguments); }
static PyObject *call_weight_grad_max(PyObject *self, PyObject *arguments) { return run(weight_grad_max, arguments); }

static PyMethodDef methods[] = {
    {"filter_responses", call_filter_responses, METH_VARARGS, "filter_responses(work, threads): work is an address"},
    {"pool_responses", call_pool_responses, METH_VARARGS, "pool_responses(work, threads)"},
    {"response_grads", call_response_grads, METH_VARARGS, "response_grads(work, threads)"},
    {"weight_grad", call_weight_grad, METH_VARARGS, "weight_grad(work, threads)"},
    {"pair_max_frames", call_pair_max_frames, METH_VARARGS, "pair_max_frames(work, threads)"},
    {"weight_grad_max", call_weight_grad_max, METH_VARARGS, "weight_grad_max(work, threads)"},
    {NULL, NULL, 0, NULL},
};
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_kernel", NULL, -1, methods};

PyMODINIT_FUNC PyInit__kernel(void)
{
    PyObject *module = PyModule_Create(&definition);
    if (module == NULL || PyModule_AddIntMacro(module, VERSION) < 0 || PyModule_AddIntMacro(module, ROWS) < 0 ||
        PyModule_AddIntMacro(module, COLUMNS) < 0 || PyModule_AddIntMacro(module, SLICE) < 0 ||
        PyModule_AddIntConstant(module, "PAIR_BYTES", sizeof(Pair)) < 0 ||
        PyModule_AddIntConstant(module, "WORK_BYTES", sizeof(Work)) < 0) {
        Py_XDECREF(module);
        return NULL;
    }
    return module;
}
