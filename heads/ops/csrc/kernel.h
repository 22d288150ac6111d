/* What the files of heads.ops._kernel share; avx512_impl.py fills a Work and calls them.
 *
 * Spatial filters of many heads over the frames of windows, for processors with AVX-512. The responses of a second are
 * pooled while they are in the cache, and written only if all of them have a gradient. Products are of float32, or of
 * bfloat16 with sums in float32; with bfloat16 features, the operands of later products are kept in bfloat16 too.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <immintrin.h>
#include <string.h>

#define VERSION 3 /* of Work and of the stages: avx512_impl.py runs this one only */
#define LANES 16
#define ROWS 8    /* of a product */
#define VECTORS 2 /* of LANES columns of a product */
#define COLUMNS (VECTORS * LANES)
#define SLICE 64 /* values of a frame whose gradient is summed at once */
#define AVX512 __attribute__((target("arch=x86-64-v4,avx512bf16")))
#define INLINE static inline __attribute__((always_inline)) AVX512

/* Neighbouring windows, and neighbouring columns: filters, head after head, that compute them. */
typedef struct {
    Py_ssize_t window, windows, column, columns;
    Py_ssize_t offset; /* of what is kept of the block */
} Block;

/* A frame of each of two seconds, as offsets in bytes, and the gradients of their responses in bfloat16. */
typedef struct {
    uint16_t grads[2];
    uint32_t frames[2];
} Pair;

typedef struct {
    const Block *blocks;
    Py_ssize_t count, windows, seconds, length, inner, filters, columns; /* a second has `length` frames */
    Py_ssize_t bfloat16;
    const char *features; /* (windows, seconds * length, inner) */
    const char *panels;   /* weights, (columns / COLUMNS, inner, COLUMNS), two of 16 bits side by side */
    float *maximum;       /* (heads, windows, seconds, filters) */
    int32_t *max_frame;   /* the same: the frame that has it, counted from the first of all windows; or NULL */
    float *variance;      /* the same; or NULL */
    char *centred;        /* of each block (frames, columns): responses less their mean; or NULL for none */
    char *response_grads; /* (columns, frames of all windows), filled where a block is */
    Pair *pairs;          /* of each block (columns, seconds / 2) */
    float *gradient;      /* of the weights, (columns, inner) */
    char *scratch;
    Py_ssize_t scratch_bytes; /* of a thread */
    Py_ssize_t started, next; /* threads, and blocks or slices that they took */
} Work;

INLINE __mmask16 lanes(Py_ssize_t count)
{
    return count <= 0 ? 0 : count < LANES ? (__mmask16)((1u << count) - 1) : (__mmask16)-1;
}

static inline Py_ssize_t take(Py_ssize_t *counter) { return __atomic_fetch_add(counter, 1, __ATOMIC_RELAXED); }

static inline char *thread_scratch(Work *work) { return work->scratch + take(&work->started) * work->scratch_bytes; }

static inline const Block *take_block(Work *work)
{
    Py_ssize_t number = take(&work->next);
    return number < work->count ? work->blocks + number : NULL;
}

/* Where the values of a head, a second and its first filter lie. */
static inline Py_ssize_t place(const Work *work, Py_ssize_t head, Py_ssize_t second)
{
    return (head * work->windows * work->seconds + second) * work->filters;
}

INLINE __m512 load(const char *from, __mmask16 mask, int bfloat16)
{
    if (!bfloat16) return _mm512_maskz_loadu_ps(mask, from);
    return (__m512)_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, from)), 16);
}

INLINE void store(char *to, __mmask16 mask, __m512 values, int bfloat16)
{
    if (bfloat16)
        _mm256_mask_storeu_epi16(to, mask, (__m256i)_mm512_cvtneps_pbh(values));
    else
        _mm512_mask_storeu_ps(to, mask, values);
}

/* (ROWS, steps) times (steps, COLUMNS); a step is one value, or two of 16 bits. */
void multiply_float32(const char *const rows[ROWS], const char *panel, Py_ssize_t steps, float *out);
void multiply_bfloat16(const char *const rows[ROWS], const char *panel, Py_ssize_t steps, float *out);

/* Stages: all threads run one together, until no block or slice is left. */
void filter_responses(Work *work);
void pool_responses(Work *work);
void response_grads(Work *work);
void weight_grad(Work *work);
void pair_max_frames(Work *work);
void weight_grad_max(Work *work);
